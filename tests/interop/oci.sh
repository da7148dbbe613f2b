# The OCI CLI, with a session token and with an API key.

scenario_oci_buckets() {
    is "$(os ns get | field data)" axlocalstore
    os bucket get -bn demo >bucket.json || fail "bucket get"
    grep -q '"name": "demo"' bucket.json || fail "bucket get shows another bucket"
    refused BucketNotFound os bucket get -bn nowhere
    os bucket create --name "made-$auth" -c ocid1.tenancy.oc1..x >out || fail "bucket create"
    os bucket list -c ocid1.tenancy.oc1..x >buckets.json || fail "bucket list"
    grep -q "made-$auth" buckets.json || fail "the new bucket is not listed"
    os bucket delete -bn "made-$auth" --force || fail "bucket delete"
}

scenario_oci_put_file_and_get() {
    os object put -bn demo --file small --name "f/$auth small" --content-type text/plain \
        --metadata '{"host":"db1"}' --verify-checksum >put.json || fail "put"
    os object get -bn demo --name "f/$auth small" --file back >out || fail "get"
    same small back
    os object head -bn demo --name "f/$auth small" >head.json || fail "head"
    is "$(field etag <head.json)" "$(field etag <put.json)"
    is "$(field opc-meta-host <head.json)" db1
    is "$(field content-type <head.json)" text/plain
    is "$(field content-length <head.json)" 1000
    os object get -bn demo --name "f/$auth small" --file - --range bytes=100-199 >back || fail "range"
    cmp -s back <(tail -c +101 small | head -c 100) || fail "the range differs"
    os object delete -bn demo --name "f/$auth small" --force || fail "delete"
    refused '"status": 404' os object head -bn demo --name "f/$auth small"
}

scenario_oci_put_multipart_file() {
    os object put -bn demo --file big --name "$auth big" --part-size 10 --verify-checksum \
        --storage-tier InfrequentAccess --opc-checksum-algorithm SHA256 >put.json || fail "put"
    [[ $(field opc-multipart-md5 <put.json) == *-3 ]] || fail "not three parts"
    [[ $(field opc-multipart-sha256 <put.json) == *-3 ]] || fail "no SHA-256 of the parts"
    os object get -bn demo --name "$auth big" --file back >out || fail "get"
    same big back
    os object head -bn demo --name "$auth big" >head.json || fail "head"
    is "$(field opc-multipart-md5 <head.json)" "$(field opc-multipart-md5 <put.json)"
    is "$(field storage-tier <head.json)" InfrequentAccess
}

scenario_oci_put_stdin() {
    os object put -bn demo --file - --name "s/$auth/ö+&x.bin" --force <big >put.json || fail "put"
    [[ $(field opc-multipart-md5 <put.json) == *-3 ]] || fail "not three parts"
    os object get -bn demo --name "s/$auth/ö+&x.bin" --file - >back || fail "get"
    same big back
    os object put -bn demo --file - --name "s/$auth/empty" --force <empty >out || fail "empty"
    os object get -bn demo --name "s/$auth/empty" --file back >out || fail "get empty"
    same empty back
    is "$(os multipart list -bn demo --all)" ""
}

scenario_oci_overwriting() {
    os object put -bn demo --file small --name "$auth once" >put.json || fail "put"
    os object put -bn demo --file small --name "$auth once" --no-overwrite || fail "no-overwrite"
    grep -q 'already exists' err || fail "no-overwrite says nothing"
    refused IfMatchFailed os object put -bn demo --file small --name "$auth once" --if-match blah --force
    os object put -bn demo --file small --name "$auth once" \
        --if-match "$(field etag <put.json)" --force >out || fail "if-match"
    refused . os object put -bn demo --file small --name "$auth once" </dev/null
}

scenario_oci_customer_key() {
    head -c 32 /dev/urandom | base64 >key
    os object put -bn demo --file big --name "$auth secret" --part-size 10 --encryption-key-file key \
        --force >out || fail "put"
    os object get -bn demo --name "$auth secret" --file back --encryption-key-file key >out \
        || fail "get"
    same big back
    refused . os object get -bn demo --name "$auth secret" --file back
}

scenario_oci_list() {
    for name in a/1 a/2 a/b/3 c; do
        os object put -bn backups --file small --name "$auth/$name" --force >out || fail "put"
    done
    os object list -bn backups --prefix "$auth/" --delimiter / --fields name,size,md5,timeCreated \
        >list.json || fail "list"
    python3 - "$auth" list.json <<'PYTHON' || fail "the list is wrong"
import json, sys
auth, listed = sys.argv[1], json.load(open(sys.argv[2]))
assert [o["name"] for o in listed["data"]] == [f"{auth}/c"], listed
assert listed["prefixes"] == [f"{auth}/a/"], listed
assert listed["data"][0]["size"] == 1000 and listed["data"][0]["md5"], listed
PYTHON
    os object list -bn backups --prefix "$auth/" --limit 2 >list.json || fail "list"
    is "$(field next-start-with <list.json)" "$auth/a/b/3"
    os object bulk-delete -bn backups --prefix "$auth/" --force >out || fail "bulk-delete"
    is "$(os object list -bn backups --prefix "$auth/" --query 'length(data || `[]`)')" 0
}

create_upload() { # create_upload NAME: prints the id of a new upload
    oci raw-request --http-method POST --target-uri "$URL/n/axlocalstore/b/demo/u" \
        --request-body "{\"object\": \"$1\"}" | python3 -c \
        'import json,sys; print(json.load(sys.stdin)["data"]["uploadId"])'
}

scenario_oci_uploads() {
    local id
    id=$(create_upload "$auth open")
    os multipart list -bn demo --all >uploads.json || fail "multipart list"
    grep -q "$id" uploads.json || fail "the upload is not listed"
    os multipart abort -bn demo --object-name "$auth open" --upload-id "$id" --force || fail "abort"
    refused UploadNotFound os multipart abort -bn demo --object-name "$auth open" --upload-id "$id" --force
    is "$(os multipart list -bn demo --all)" ""
}

scenario_oci_resume() {
    local id
    id=$(create_upload "$auth resumed")
    os object resume-put -bn demo --file big --name "$auth resumed" --upload-id "$id" --part-size 10 \
        >out || fail "resume-put"
    os object get -bn demo --name "$auth resumed" --file back >out || fail "get"
    same big back
}

scenario_oci_archive() {
    os object put -bn demo --file small --name "$auth cold" --storage-tier Archive --force >out \
        || fail "put"
    refused NotRestored os object get -bn demo --name "$auth cold" --file back
    os object restore -bn demo --name "$auth cold" --hours 1 >out || fail "restore"
    os object get -bn demo --name "$auth cold" --file back >out || fail "get"
    same small back
}
