# `ocipipe verify` of objects that other clients uploaded with their default options: the size of the parts is
# found from the size and the number of parts of the object.

verify() { # verify ARGS...: prints nothing on stdout, and its messages to out
    "$OCIPIPE" verify --config-file "$work/store/config" --profile SESSION --endpoint "$URL" \
        --auth-endpoint "$URL" "$@" >stdout 2>out
}

# is_verified FILE NAME CLIENT: the object is the file by digests alone, and not a file with one other byte.
is_verified() {
    local file=$1 url=oci://demo/$2 client=$3 code=0 gets
    gets=$(reads)
    verify "$url" --file "$file" || fail "verify $2"
    [[ ! -s stdout ]] || fail "stdout is not empty"
    grep -q "verified by $client" out || fail "$2 is not verified by '$client'"
    is "$(reads)" "$gets"
    cp "$file" flipped
    printf '\x00' | dd of=flipped bs=1 seek=1000003 conv=notrunc status=none
    cmp -s "$file" flipped && printf '\x01' | dd of=flipped bs=1 seek=1000003 conv=notrunc status=none
    verify "$url" --file flipped || code=$?
    is "$code" 7
}

reads() { # how many requests have read objects so far
    grep -c '"operation":"GetObject"' "$work/store/requests.jsonl" || true
}

scenario_verify_objects_of_the_oci_cli() {
    local md5="opc-multipart-md5 over"
    [[ -f huge ]] || head -c 268435465 /dev/urandom >huge
    os object put -ns axlocalstore -bn demo --name v/oci-stdin --file - <big >/dev/null || fail "put stdin"
    is_verified big v/oci-stdin "$md5 3 parts as the OCI CLI makes them"
    os object put -ns axlocalstore -bn demo --name v/oci-file --file huge >/dev/null || fail "put file"
    # ocipipe's parts have the same size.
    is_verified huge v/oci-file "$md5 3 parts as ocipipe makes them"
    os object put -ns axlocalstore -bn demo --name v/oci-odd --file - --part-size 11 <big >/dev/null \
        || fail "put with parts of 11 MiB"
    # Three parts may have 9 to 12 MiB: the object is read.
    verify oci://demo/v/oci-odd --file big || fail "verify parts of 11 MiB"
    grep -q "read back from the service" out || fail "parts of 11 MiB were not read"
    verify oci://demo/v/oci-odd --file big --uploaded-part-size 11MiB || fail "--uploaded-part-size"
    grep -q "$md5 3 parts of --uploaded-part-size" out || fail "not verified by the given size"
}

scenario_rclone_objects_are_verified() {
    remote
    sed -i '/^chunk_size/d; /^upload_cutoff/d' "$RCLONE_CONFIG"
    [[ -f huge ]] || head -c 268435465 /dev/urandom >huge
    rclone copyto huge oos:demo/v/rclone || fail "copyto"
    is_verified huge v/rclone "opc-multipart-md5 over 52 parts as rclone makes them"
    rclone rcat oos:demo/v/rcat <big || fail "rcat"
    is_verified big v/rcat "opc-multipart-md5 over 6 parts as rclone makes them"
    rclone copyto small oos:demo/v/small || fail "copyto small"
    verify oci://demo/v/small --file small || fail "verify small"
    grep -q "verified by opc-content-md5" out || fail "the MD5 of the whole was not compared"
}

if [[ -d $referees/typescript/node_modules ]]; then
    scenario_verify_objects_of_the_typescript_sdk() {
        NODE_PATH=$referees/typescript/node_modules node "$here/typescript.js" "$work/store/config" \
            SESSION "$URL" big v/typescript defaults >put.json 2>err || fail "upload"
        is_verified big v/typescript "opc-multipart-md5 over 2 parts as the TypeScript SDK makes them"
    }
fi
