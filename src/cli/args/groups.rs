//! Groups of options that several commands share, as declared to `argh`.
//!
//! Owns their names and their lines of help. Must not parse a value. Invariant: the text of an option
//! is one line of help.

/// The options on the account and the service, of all commands that use it.
macro_rules! service {
    ($($then:tt)*) => {
        args! { @group service RawServiceOptions [
            "MODE: api_key, security_token, instance_principal, resource_principal,"
            "      oke_workload_identity, instance_obo_user, token_exchange"
        ] {
            option auth "MODE" = "how to sign in, see the notes; default: that of the profile, or of the host";
            option profile "NAME" = "profile of the config file; default DEFAULT";
            option config_file "PATH" = "OCI config file; default ~/.oci/config";
            option cli_rc_file "PATH" = "defaults of options, as for the OCI CLI; default ~/.oci/oci_cli_rc";
            option region "REGION" = "region, such as eu-frankfurt-1; default: the profile's";
            option endpoint "URL" = "talk to Object Storage at this URL, not the region's";
            switch realm_specific_endpoint = "talk to the host of the namespace in the region's realm";
            switch enable_dual_stack = "talk to the region's host that has IPv6 addresses too";
            option auth_endpoint "URL" = "refresh session tokens at this URL, not the region's";
            option federation_endpoint "URL" = "exchange the instance's certificate at this URL, not the region's";
            option exchange_url "URL" = "identity domain for --auth token_exchange";
            option exchange_jwt_file "PATH" = "file with the token (JWT) to exchange, read again at each renewal";
            option exchange_client_id "ID" = "client that the identity domain knows";
            option exchange_client_secret_file "PATH" = "file with the secret of this client";
            option opc_client_request_id "ID" = "send this as opc-client-request-id with each request, for tracing";
            option cert_bundle "PATH" = "certificates to trust, as a PEM file or a folder of them";
            option proxy "URL" = "go through this proxy: http, https, socks5 or socks5h://USER:PASSWORD@HOST:PORT";
            option refresh_before "DURATION" = "renew the token when less is left; default 10m, or a third of its life; at most half";
            switch no_refresh = "never request a token; only read its file again";
            option connection_timeout "SECONDS" = "bound on making one connection; default 10";
            option read_timeout "SECONDS" = "drop a connection on which no byte moved for this long; --stall-timeout in seconds";
            option output "json" = "json; no effect, accepted for compatibility";
            switch no_retry = "no effect: --retry-for decides";
            option max_retries "N" = "no effect: --retry-for decides";
        } $($then)* }
    };
}

/// The options on what is written to stderr.
macro_rules! output {
    ($($then:tt)*) => {
        args! { @group output RawOutputOptions [] {
            option progress "HOW" = "auto, bar, log, json or none; auto: a bar on a terminal, else a line every 30 s";
            option log_format "FORMAT" = "text or json: how messages are written; default text";
            switch quiet = "warnings and errors only";
            switch debug = "also a line for each request and each decision on the token; also -d";
        } $($then)* }
    };
}

/// The options on which open uploads are meant.
macro_rules! filters {
    ($($then:tt)*) => {
        args! { @group filters RawUploadFilters [] {
            positional place "BUCKET" = "oci://BUCKET, with or without @NAMESPACE and /NAME";
            option bucket_name "BUCKET" = "bucket, in place of the address; also -bn";
            option namespace "NAMESPACE" = "namespace; also -ns, --namespace-name; default: the service is asked";
            option name "NAME" = "only uploads of this object; also --object-name";
            option upload_id "ID" = "only this upload";
            option older_than "DURATION" = "only uploads begun longer ago, such as 1d";
        } $($then)* }
    };
}

service! { @texts }
output! { @texts }
filters! { @texts }
