//! The options of `verify`, as declared to `argh`.
//!
//! Owns their names and their lines of help. Must not parse a value. Invariant: the text of an option
//! is one line of help.

args! {
    /// compare one object with stdin, a file or a receipt; nothing is written
    #[argh(
        name = "verify",
        example = "ocipipe verify oci://backups/srv.tar --file /srv.tar",
        example = "zfs send -R tank@today | ocipipe verify oci://backups/tank",
        example = "ocipipe verify --receipt mydb.json",
        note = "Exit code 0: the same; 7: it differs; 4: there is no such object. The digests that the",
        note = "service holds are compared, and the object is read only where they do not suffice. The",
        note = "last line on stderr is what was compared, and how strong that is."
    )]
    struct VerifyArgs {
        positional source "SOURCE" = "oci://BUCKET/NAME or oci://BUCKET@NAMESPACE/NAME; default: that of the receipt";

        option bucket_name "BUCKET" = "bucket, in place of SOURCE; also -bn";
        option name "NAME" = "object, in place of SOURCE";
        option namespace "NAMESPACE" = "namespace; also -ns, --namespace-name; default: the service is asked";
        option file "PATH" = "compare with this file, not stdin; - is stdin";
        option receipt "FILE" = "compare with the receipt that put printed; with --file it gives the part sizes";
        option if_match "ETAG" = "only the object with this etag";
        option version_id "ID" = "this version of the object, in a bucket with versioning";
        option uploaded_part_size "SIZE" = "size of the parts that the object was uploaded in";
        option encryption_key_file "PATH" = "decrypt with the base64 AES-256 key in this file (SSE-C)";
        switch restore = "where an archived object has to be read: restore it and wait for that, up to 24 h";

        option max_memory "SIZE" = "bound on the buffers of an object that is read; default as for get";
        option retry_for "DURATION" = "longest time without progress before reading the object fails; default 1h";
        option stall_timeout "DURATION" = "drop a connection after this time without a byte; default 60s";

        group output;

        group service;
    }
}
