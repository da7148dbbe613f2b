# Uploads that the service's own SDK has left open, finished by `ocipipe put --resume`.

left_open_by_the_sdk() { # left_open_by_the_sdk NAME: parts 1 and 3 of 10 MiB of the file big
    "$referees/bin/python" - "$work/store/config" "$URL" "$1" >out 2>err <<'PYTHON' || fail "the Python SDK"
import sys
import oci

file, url, name = sys.argv[1:]
config = oci.config.from_file(file, "API_KEY")
client = oci.object_storage.ObjectStorageClient(config, service_endpoint=url)
space = client.get_namespace().data
details = oci.object_storage.models.CreateMultipartUploadDetails(
    object=name, content_type="application/octet-stream")
upload = client.create_multipart_upload(space, "demo", details).data.upload_id
content = open("big", "rb").read()
size = 10 << 20
for number in (1, 3):
    part = content[(number - 1) * size:number * size]
    client.upload_part(space, "demo", name, upload, number, part)
PYTHON
}

scenario_oci_put_left_open_is_resumed_by_ocipipe() {
    local name="left $auth"
    left_open_by_the_sdk "$name"
    run_ocipipe put --resume "oci://demo/$name" --debug <big >put.json || fail "ocipipe put --resume"
    grep -q 'resuming the open upload' err || fail "no upload was resumed"
    is "$(field size <put.json)" 26214401
    # Parts 1 and 3 are those of the SDK: one size follows for part 2.
    is "$(python3 -c 'import json; print(json.load(open("put.json"))["part-sizes"])')" \
        "[[2, 10485760], [1, 5242881]]"
    is "$(grep -c '"operation":"UploadPart"' <(grep "left%20$auth" "$work/store/requests.jsonl"))" 3
    os object get -bn demo --name "$name" --file back >out || fail "get"
    same big back
    is "$(os object head -bn demo --name "$name" | field opc-multipart-md5)" \
        "$(field opc-multipart-md5 <put.json)"
    is "$(os multipart list -bn demo --all)" ""
}

parts_of() { # parts_of NAME: how many parts the service has acknowledged
    grep '"operation":"UploadPart"' "$work/store/requests.jsonl" | grep "/u/$1?" | grep -c '"status":200' || true
}

scenario_oci_put_that_sigkill_ended_is_resumed_by_ocipipe() {
    local name="killed-$auth" profile=SESSION held tries=0 cli
    [[ $auth == security_token ]] || profile=API_KEY
    [[ -f huge ]] || head -c 268435465 /dev/urandom >huge
    # In the place of a subshell, so that the signal reaches the client itself.
    (exec "$referees/bin/oci" --config-file "$work/store/config" --profile "$profile" --auth "$auth" \
        --endpoint "$URL" os object put -ns axlocalstore -bn demo --file huge --name "$name" \
        --part-size 10 --parallel-upload-count 2 --content-type application/octet-stream >out 2>err) &
    cli=$!
    until (( $(parts_of "$name") >= 3 )); do
        kill -0 "$cli" 2>/dev/null || fail "the OCI CLI has ended by itself"
        (( ++tries < 3000 )) || fail "the OCI CLI stores no parts"
        sleep 0.01
    done
    kill -KILL "$cli"
    wait "$cli" 2>/dev/null || true
    refused '"status": 404' os object head -bn demo --name "$name"
    held=$(parts_of "$name")
    (( held < 26 )) || fail "the OCI CLI was killed too late"
    run_ocipipe put --resume "oci://demo/$name" --debug <huge >put.json || fail "ocipipe put --resume"
    grep -q 'resuming the open upload' err || fail "no upload was resumed"
    is "$(field size <put.json)" 268435465
    # The parts are those of the OCI CLI, holes included, and none of them was sent again.
    is "$(python3 -c 'import json; print(json.load(open("put.json"))["part-sizes"][0][1])')" 10485760
    is "$(parts_of "$name")" "$(field parts <put.json)"
    os object get -bn demo --name "$name" --file back >out || fail "get"
    same huge back
    rm back
    is "$(os multipart list -bn demo --all)" ""
}
