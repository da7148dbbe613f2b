# Objects that `ocipipe put` stores, read back by the service's own clients, and the reverse.

run_ocipipe() { # run_ocipipe COMMAND...: ocipipe with the current kind of credentials
    local command=$1 profile=SESSION
    shift
    [[ $auth == security_token ]] || profile=API_KEY
    "$OCIPIPE" "$command" --config-file "$work/store/config" --profile "$profile" --auth "$auth" \
        --endpoint "$URL" --auth-endpoint "$URL" "$@" 2>>err
}

scenario_oci_put_by_ocipipe_is_read_back() {
    local name="by-ocipipe/$auth/ö+&%25 x.bin"
    run_ocipipe put "oci://demo/$name" --part-size 10 --metadata '{"host":"db1"}' --content-type text/plain \
        --storage-tier InfrequentAccess <big >put.json || fail "ocipipe put"
    os object head -bn demo --name "$name" >head.json || fail "head"
    for key in etag opc-multipart-md5; do
        is "$(field $key <head.json)" "$(field $key <put.json)"
    done
    is "$(field opc-meta-host <head.json)" db1
    is "$(field content-type <head.json)" text/plain
    is "$(field storage-tier <head.json)" InfrequentAccess
    os object get -bn demo --name "$name" --file back >out || fail "get"
    same big back
    run_ocipipe put --bucket-name demo --name "$name small" --file small >put.json || fail "ocipipe put --file"
    os object get -bn demo --name "$name small" --file back >out || fail "get small"
    same small back
    is "$(os multipart list -bn demo --all)" ""
}

scenario_oci_put_is_read_back_by_ocipipe() {
    os object put -bn demo --file big --name "by-oci $auth" --part-size 10 >out || fail "put"
    run_ocipipe get "oci://demo/by-oci $auth" >back || fail "ocipipe get"
    same big back
}

scenario_oci_put_with_the_options_of_the_oci_cli() {
    # The same options, `oci os object put` replaced by `ocipipe put`.
    local options=(-ns axlocalstore -bn demo --file big --storage-tier Standard --no-overwrite
        --part-size 10 --parallel-upload-count 15 --verify-checksum)
    run_ocipipe put "${options[@]}" --name "cli $auth" --debug >put.json || fail "ocipipe put"
    is "$(os object put "${options[@]}" --name "cli2 $auth" | field opc-multipart-md5)" \
        "$(field opc-multipart-md5 <put.json)"
}

scenario_oci_metadata_and_media_types_mean_the_same() {
    local options=(-bn demo --content-type auto --force) map value
    cp small photo.webp
    echo '{"from": "a file", "n": -7}' >meta.json
    for map in '{"n": 42, "f": 1.50, "e": 1e-7, "t": true, "s": "x y"}' "{'host': 'db1'}" file://meta.json \
        "file://\$PWD/meta.json"; do
        os object put "${options[@]}" --file photo.webp --name "by-oci-cli $auth" --metadata "$map" >out \
            || fail "put $map"
        run_ocipipe put "${options[@]}" --file photo.webp --name "by-ocipipe $auth" --metadata "$map" >out \
            || fail "ocipipe put $map"
        for value in by-oci-cli by-ocipipe; do
            os object head -bn demo --name "$value $auth" | grep -E 'opc-meta|content-type' >"$value.txt"
        done
        same by-oci-cli.txt by-ocipipe.txt
    done
    # For a stream the OCI CLI sends the metadata as JSON, and so does ocipipe.
    os object put -bn demo --file - --name "by-oci-cli $auth" --metadata '{"s": "München, 東京"}' --force \
        <small >out || fail "put"
    run_ocipipe put "oci://demo/by-ocipipe $auth" --metadata '{"s": "München, 東京"}' --force <small >out \
        || fail "ocipipe put"
    for value in by-oci-cli by-ocipipe; do
        os object head -bn demo --name "$value $auth" | grep opc-meta >"$value.txt"
    done
    same by-oci-cli.txt by-ocipipe.txt
}

scenario_oci_open_uploads_are_listed() {
    os multipart list -bn demo --all >out || fail "list"
    oci raw-request --http-method POST --target-uri "$URL/n/axlocalstore/b/demo/u" \
        --request-body '{"object":"left open"}' >raw.json || fail "create"
    run_ocipipe uploads list --bucket-name demo >by-ocipipe.json || fail "uploads list"
    grep -q '"left open"' by-ocipipe.json || fail "the open upload is not listed"
    os multipart list -bn demo --all >by-oci-cli.json || fail "multipart list"
    same by-ocipipe.json by-oci-cli.json
    run_ocipipe uploads abort --bucket-name demo --name 'left open' >out || fail "uploads abort"
    is "$(os multipart list -bn demo --all)" ""
}

scenario_rclone_reads_what_ocipipe_put() {
    remote
    run_ocipipe put oci://demo/for-rclone/big --part-size 10 <big >put.json || fail "ocipipe put"
    rclone cat oos:demo/for-rclone/big >back || fail "cat"
    same big back
    mkdir -p local && cp big local/big
    rclone check local oos:demo/for-rclone || fail "check"
}
