//! What the man page describes besides commands and options: variables, files and other programs.
//!
//! Owns these texts. Must not repeat a line of the help. Invariant: every variable that the pages
//! for users name is in the list.

pub(super) const DESCRIPTION: [&str; 4] = [
    "ocipipe reads a stream that exists only once, from stdin, a file or a command, and stores it as one \
     object in Oracle Cloud (OCI) Object Storage, in parallel parts and without a temporary file, even \
     when the upload outlives its credentials.",
    "It uses the profiles, keys and session tokens of the OCI CLI and accepts its option names. A part \
     stays in memory until the service has it, so that an outage, a rejected token or a broken \
     connection costs time and not the stream.",
    "The object is committed only at the end of a complete stream, and compared with what was read. \
     Success is one JSON object on stdout, the receipt. Messages and progress go to stderr.",
    "If an option is given twice, the last one counts.",
];

/// What holds for all variables.
pub(super) const PRECEDENCE: &str = "Unless noted otherwise, an option on the command line counts before its variable, and a variable \
     before the file of defaults and the config file. A variable with an empty value counts as not set.";

/// Names of variables, and what they set. Where a text lists names, the first of them that is set counts.
pub(super) const ENVIRONMENT: &[(&[&str], &str)] = &[
    (
        &["OCI_CLI_CONFIG_FILE", "OCI_CONFIG_FILE"],
        "The config file: --config-file, OCI_CLI_CONFIG_FILE, ~/.oci/config if it exists, OCI_CONFIG_FILE.",
    ),
    (&["OCI_CLI_PROFILE"], "The profile, as --profile."),
    (&["OCI_CLI_RC_FILE"], "The file of defaults, as --cli-rc-file."),
    (&["OCI_CLI_AUTH"], "How to sign in, as --auth."),
    (
        &["OCI_CLI_REGION", "OCI_REGION"],
        "The region: --region, OCI_CLI_REGION, the file of defaults, the profile, OCI_REGION, and for a \
         resource or a pod OCI_RESOURCE_PRINCIPAL_REGION.",
    ),
    (
        &["OCI_CLI_USER", "OCI_CLI_TENANCY", "OCI_CLI_FINGERPRINT", "OCI_CLI_KEY_FILE"],
        "Each overrides the key of this name in the profile. Together with OCI_CLI_REGION they make a \
         config file unnecessary.",
    ),
    (
        &["OCI_CLI_KEY_CONTENT", "OCI_CLI_PASSPHRASE"],
        "The private key as PEM, which counts before OCI_CLI_KEY_FILE and the profile, and the pass phrase \
         of an encrypted key, which counts before that of the profile.",
    ),
    (
        &["OCI_CLI_SECURITY_TOKEN_FILE"],
        "The file with a session token; counts before that of the profile.",
    ),
    (
        &["OCI_CLI_DELEGATION_TOKEN_FILE"],
        "The file with the delegation token of instance_obo_user; counts before that of the profile.",
    ),
    (&["OCI_CLI_ENDPOINT"], "The URL of Object Storage, as --endpoint."),
    (
        &[
            "OCI_REALM_SPECIFIC_SERVICE_ENDPOINT_TEMPLATE_ENABLED",
            "OCI_DUAL_STACK_ENDPOINT_ENABLED",
        ],
        "true or false: as --realm-specific-endpoint and --enable-dual-stack.",
    ),
    (&["OCIPIPE_AUTH_ENDPOINT"], "Where session tokens are refreshed, as --auth-endpoint."),
    (
        &["OCI_CLI_FEDERATION_ENDPOINT", "OCI_SDK_AUTH_CLIENT_REGION_URL"],
        "Where an instance exchanges its certificate: --federation-endpoint, OCI_CLI_FEDERATION_ENDPOINT, \
         OCI_SDK_AUTH_CLIENT_REGION_URL (without the path). The file of defaults cannot set it.",
    ),
    (
        &["OCI_REGION_METADATA", "OCI_DEFAULT_REALM"],
        "A region that this version does not know, as JSON, and the domain of all other unknown regions; \
         ~/.oci/regions-config.json counts before both.",
    ),
    (&["OCI_METADATA_BASE_URL"], "The metadata service of an instance."),
    (
        &[
            "OCI_RESOURCE_PRINCIPAL_VERSION",
            "OCI_RESOURCE_PRINCIPAL_RPST",
            "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM",
            "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE",
            "OCI_RESOURCE_PRINCIPAL_REGION",
            "OCI_RESOURCE_PRINCIPAL_RPT_ENDPOINT",
            "OCI_RESOURCE_PRINCIPAL_RPST_ENDPOINT",
            "OCI_RESOURCE_PRINCIPAL_RPT_PATH",
            "OCI_RESOURCE_PRINCIPAL_RPT_ID",
            "OCI_RESOURCE_PRINCIPAL_RESOURCE_ID",
            "OCI_RESOURCE_PRINCIPAL_TENANCY_ID",
            "OCI_RESOURCE_PRINCIPAL_SECURITY_CONTEXT",
        ],
        "The resource principal; set by the service that runs the program. The region is the last resort.",
    ),
    (
        &[
            "OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_STRING",
            "OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_PATH",
            "OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH",
            "KUBERNETES_SERVICE_HOST",
            "KUBERNETES_SERVICE_PORT_PROXYMUX",
        ],
        "The identity of a pod (oke_workload_identity); most of them are set by Kubernetes. The token itself \
         counts before its path.",
    ),
    (
        &[
            "OCIPIPE_EXCHANGE_URL",
            "OCIPIPE_EXCHANGE_JWT_FILE",
            "OCIPIPE_EXCHANGE_CLIENT_ID",
            "OCIPIPE_EXCHANGE_CLIENT_SECRET_FILE",
        ],
        "The exchange of a token, as the options with these names.",
    ),
    (
        &["OCIPIPE_PAR_URL"],
        "The URL of a pre-authenticated request; --par-file counts before it. It is a secret.",
    ),
    (
        &[
            "OCI_CLI_CERT_BUNDLE",
            "REQUESTS_CA_BUNDLE",
            "CURL_CA_BUNDLE",
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
        ],
        "Certificates to trust: --cert-bundle, OCI_CLI_CERT_BUNDLE, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, \
         SSL_CERT_FILE together with SSL_CERT_DIR, the file of defaults.",
    ),
    (
        &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        "The proxy: --proxy, https_proxy, HTTPS_PROXY, all_proxy, ALL_PROXY, the file of defaults. An empty \
         https_proxy hides HTTPS_PROXY, and all_proxy likewise.",
    ),
    (
        &["no_proxy", "NO_PROXY"],
        "The hosts that are reached without the proxy of a variable; no effect on --proxy and on the file of \
         defaults.",
    ),
    (&["HOME"], "The home folder; if it is not set, the one in the user database."),
    (
        &["OCI_CLI_SUPPRESS_FILE_PERMISSIONS_WARNING"],
        "True: no warning about files with keys that other users may read.",
    ),
    (&["NO_COLOR", "TERM"], "No colour; dumb is a terminal without a progress bar."),
    (&["OCIPIPE_SERVE_LOG"], "If set, serve writes each request to a log."),
];

pub(super) const FILES: [(&str, &str); 4] = [
    ("~/.oci/config", "The config file: profiles with their keys, tokens and regions."),
    ("~/.oci/oci_cli_rc", "Defaults of options, as for the OCI CLI."),
    ("~/.oci/sessions/", "Session tokens and their keys, one folder for each profile."),
    ("~/.oci/regions-config.json", "Regions that this version does not know."),
];

pub(super) const SEE_ALSO: &[&str] =
    &["oci(1)", "pg_dump(1)", "tar(1)", "zstd(1)", "systemd.timer(5)"];
