# Pre-authenticated requests, which the OCI CLI creates and deletes, and curl uses.

# Creates one in the bucket demo; FULL is its URL and PAR_ID its id.
create_par() { # create_par ACCESS_TYPE [OPTION...]
    os preauth-request create -bn demo --name "$1" --access-type "$1" \
        --time-expires 2099-01-01T00:00:00Z "${@:2}" >par.json || fail "preauth-request create"
    PAR_ID=$(python3 -c 'import json; print(json.load(open("par.json"))["data"]["id"])')
    FULL=$URL$(python3 -c 'import json; print(json.load(open("par.json"))["data"]["access-uri"])')
}

web() { curl --silent --show-error --fail-with-body "$@" 2>err; }

scenario_oci_par_one_object() {
    create_par ObjectReadWrite --object-name "par/one object"
    os preauth-request list -bn demo --all >list.json || fail "preauth-request list"
    grep -qF "\"$PAR_ID\"" list.json || fail "the new one is not listed"
    os preauth-request get -bn demo --par-id "$PAR_ID" >out || fail "preauth-request get"
    grep -q '"access-type": "ObjectReadWrite"' out || fail "preauth-request get shows another one"
    web --upload-file small --header content-type:text/plain --header opc-meta-host:db1 "$FULL" \
        || fail "PUT"
    web --output back "$FULL" || fail "GET"
    same small back
    os object head -bn demo --name "par/one object" >head.json || fail "head"
    is "$(field opc-meta-host <head.json)" db1
    refused NotAuthorizedOrNotFound web --upload-file small "${FULL/one/other}"
    os preauth-request delete -bn demo --par-id "$PAR_ID" --force >out || fail "preauth-request delete"
    refused NotAuthenticated web "$FULL"
    refused '"status": 404' os preauth-request get -bn demo --par-id "$PAR_ID"
}

scenario_oci_par_bucket_multipart() {
    create_par AnyObjectWrite
    head -c 10485760 big >part1
    tail -c +10485761 big >part2
    local up
    up=$URL$(web --request PUT --header opc-multipart:true --header content-length:0 "$FULL"par/big \
        | field accessUri) || fail "the start of an upload"
    web --upload-file part2 "${up}2" || fail "part 2"
    web --upload-file part1 "${up}1" || fail "part 1"
    os multipart list -bn demo --all >out || fail "multipart list"
    grep -q '"object": "par/big"' out || fail "the upload is not listed"
    web --request POST --header content-length:0 "$up" || fail "the commit"
    refused NotAuthorizedOrNotFound web "$FULL"par/big
    refused NotAuthorizedOrNotFound web "$FULL"
    os object get -bn demo --name par/big --file back >out || fail "get"
    same big back
    os preauth-request delete -bn demo --par-id "$PAR_ID" --force >out || fail "preauth-request delete"
}
