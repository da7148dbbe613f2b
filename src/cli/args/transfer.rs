//! The options of `put` and `get`, as declared to `argh`.
//!
//! Owns their names and their lines of help. Must not parse a value. Invariant: the text of an option
//! is one line of help.

args! {
    /// upload one stream as one object; without FILE and COMMAND the stream is stdin
    #[argh(
        name = "put",
        example = "ocipipe put \"oci://backups/mydb-$(date +%F).dump\" -- pg_dump -Fc mydb",
        example = "pg_dump -Fc mydb | ocipipe put oci://backups/mydb.dump --expect pgdump",
        example = "tar cz /srv | ocipipe put --expect gzip --min-size 1GiB oci://backups/srv.tgz",
        example = "zfs send -R tank@today | ocipipe put -bn backups --name tank --expected-size 2TiB",
        note = "With a COMMAND the object appears only if that command exits 0. In a shell pipe a program",
        note = "that failed looks like the end of the stream: use COMMAND, --expect or --min-size.",
        note = "On success one JSON object is printed on stdout; everything else goes to stderr."
    )]
    struct PutArgs {
        positional dest "DEST" = "oci://BUCKET/NAME or oci://BUCKET@NAMESPACE/NAME";

        option bucket_name "BUCKET" = "bucket, in place of DEST; also -bn";
        option name "NAME" = "object, in place of DEST; default: the file name of --file";
        option namespace "NAMESPACE" = "namespace; also -ns, --namespace-name; default: the service is asked";
        option file "PATH" = "read this file, not stdin; - is stdin";
        option local "DIR" = "no cloud: store the object as the plain file DIR/BUCKET/NAME";

        option par_file "PATH" = "no credentials: store through the pre-authenticated request in this file";
        option par_expires "TIME" = "when that request expires, such as 2026-01-31T00:00:00Z";

        switch force = "replace an object that exists; default: refuse with exit code 6";
        option if_match "ETAG" = "replace only the object with this etag; needs no --force";
        switch no_overwrite = "the default; accepted for compatibility";
        switch identical_ok = "an object that exists and is the same as the stream is success, not exit code 6";
        switch resume = "continue the open upload of this name: parts that it holds are not sent again";
        option upload_id "ID" = "with --resume: continue this one of several open uploads";
        option expect "FORMAT" = "the stream must end as tar, gzip, zstd, xz, bzip2, zip, pgdump or sql ends";
        option min_size "SIZE" = "do not commit a stream shorter than this, such as 100MiB";
        switch allow_empty = "store a stream of no bytes; default: refuse with exit code 5";
        option checksum "NAME" = "each part: sha256, crc32c, sha384, md5, none; also --opc-checksum-algorithm";
        switch verify_checksum = "always on; accepted for compatibility";
        option content_md5 "BASE64" = "MD5 that the whole stream must have, else nothing is stored";
        option opc_content_sha256 "BASE64" = "SHA-256 that the whole stream must have, else nothing is stored";
        option opc_content_sha384 "BASE64" = "SHA-384 that the whole stream must have, else nothing is stored";
        option opc_content_crc32c "BASE64" = "CRC-32C that the whole stream must have, else nothing is stored";
        switch delete_on_mismatch = "delete the object if it was committed and does not verify";

        option part_size "SIZE" = "size of the first part; a bare number is MiB; default 128MiB";
        option parallel_upload_count "N" = "parts in flight, 1 to 1000, or auto; default auto";
        switch disable_parallel_uploads = "one part in flight";
        switch no_multipart = "one request for the whole stream, which has to fit into --max-memory";
        option max_memory "SIZE" = "bound on all part buffers together; default (N + 1) x part size";
        option expected_size "SIZE" = "a hint: choose part sizes for a stream of this length";
        option bwlimit "RATE" = "bytes per second over all parts, such as 20MiB; default: no limit";
        option retry_for "DURATION" = "longest time without progress before the upload fails; default 1h";
        option stall_timeout "DURATION" = "drop a connection after this time without a byte; default 60s";

        option storage_tier "TIER" = "tier: Standard, InfrequentAccess or Archive; default: the bucket's";
        option content_type "TYPE" = "media type of the object; auto: by the name of --file, else of the object";
        option content_encoding "CODING" = "stored as the Content-Encoding, such as gzip";
        option content_language "LANGUAGE" = "stored as the Content-Language, such as en";
        option content_disposition "TEXT" = "stored as the Content-Disposition";
        option cache_control "TEXT" = "stored as the Cache-Control";
        option metadata "JSON" = "names, without opc-meta-, to texts, as a JSON map; or file://PATH";
        option encryption_key_file "PATH" = "encrypt with the base64 AES-256 key in this file (SSE-C)";
        option opc_sse_kms_key_id "OCID" = "encrypt with this key of the Vault service";

        group output;
        option metrics_file "FILE" = "write Prometheus metrics of the run to this file, for node_exporter";
        option metrics_job "NAME" = "label of these metrics; default: the file's name without .prom";

        group service;
    }
}

args! {
    /// write one object to stdout, or to a file, as a stream
    #[argh(
        name = "get",
        example = "ocipipe get oci://backups/mydb.dump | pg_restore --exit-on-error -d restored",
        example = "ocipipe get oci://backups/srv.tgz | tar xz -C /srv",
        example = "ocipipe get -bn backups --name mydb.dump --file /tmp/mydb.dump",
        note = "What was read is compared with the digests that the service holds; the last line on",
        note = "stderr is `verified by ...` or `not compared: ...`. With --file what was read is kept in",
        note = ".NAME.ocipipe-part beside PATH until it is whole; the same command goes on from there."
    )]
    struct GetArgs {
        positional source "SOURCE" = "oci://BUCKET/NAME or oci://BUCKET@NAMESPACE/NAME";

        option bucket_name "BUCKET" = "bucket, in place of SOURCE; also -bn";
        option name "NAME" = "object, in place of SOURCE";
        option namespace "NAMESPACE" = "namespace; also -ns, --namespace-name; default: the service is asked";
        option file "PATH" = "write this file, not stdout; - is stdout; run again, it goes on";
        option if_match "ETAG" = "only the object with this etag";
        option version_id "ID" = "this version of the object, in a bucket with versioning";
        option range "BYTES" = "only these bytes, as in HTTP: A-B, A- or -N; nothing is compared";
        option receipt "FILE" = "compare with the receipt that put printed";
        option uploaded_part_size "SIZE" = "size of the parts that the object was uploaded in, to compare it";
        option encryption_key_file "PATH" = "decrypt with the base64 AES-256 key in this file (SSE-C)";
        switch restore = "restore an archived object first and wait for that, up to 24 h";
        option hours "N" = "hours that a restored object stays readable, 1 to 240; default 24";

        option part_size "SIZE" = "bytes of one request; a bare number is MiB; default up to 64MiB";
        option parallel_download_count "N" = "requests at a time, 1 to 1000, or auto; default auto";
        switch no_multipart = "one request at a time";
        option max_memory "SIZE" = "bound on all buffers together; default 256MiB, or a quarter of the memory";
        option bwlimit "RATE" = "bytes per second over all requests, such as 20MiB; default: no limit";

        option retry_for "DURATION" = "longest time without progress before the download fails; default 1h";
        option stall_timeout "DURATION" = "drop a connection after this time without a byte; default 60s";

        group output;

        group service;
    }
}
