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
