# The principals: each mode with the variables of DIR/env/MODE. What has a fixed address (the metadata service
# at 169.254.169.254) or port (the OKE token service at 12250) runs in a network namespace.

with() { # with MODE COMMAND...: runs a command with the variables of a mode
    local variables
    variables=$(<"$folder/env/$1")
    shift
    # No value holds a blank.
    env $variables "$@" 2>err
}

oci_as() { local mode=$1; shift; with "$mode" "${inside[@]}" "$referees/bin/oci" os "$@"; }

control() { # control METHOD PATH: prints the answer of one of the server's own paths
    "${inside[@]}" "$referees/bin/python" - "$1" "$URL/emulator/$2" <<'PYTHON'
import sys, urllib.request
request = urllib.request.Request(sys.argv[2], method=sys.argv[1])
print(urllib.request.urlopen(request).read().decode())
PYTHON
}

count() { # count KIND: prints the number of requests of this kind so far
    control GET counts | python3 -c 'import json,sys; print(json.load(sys.stdin).get(sys.argv[1], 0))' "$1"
}

serve_in() { # serve_in NAME ARGUMENT...: starts a server on the folder NAME, in the namespace if there is one
    folder=$work/$1
    shift
    rm -f "$folder.url"
    OCIPIPE_SERVE_LOG=1 "${inside[@]}" "$OCIPIPE" serve --dir "$folder" "$@" >"$folder.url" 2>"$folder.log" &
    others+=($!)
    until [[ -s $folder.url ]]; do
        kill -0 $! 2>/dev/null || fail "the server does not start: $(<"$folder.log")"
        sleep 0.05
    done
    read -r URL <"$folder.url"
}

forward() { # forward ADDRESS: leads port 80 of this address in the namespace to the server
    rm -f forwarded
    "${inside[@]}" "$referees/bin/python" "$here/forward.py" "$1:80" "${URL##*:}" >forwarded 2>forward.log &
    others+=($!)
    until [[ -s forwarded ]]; do
        kill -0 $! 2>/dev/null || fail "nothing listens at $1: $(<forward.log)"
        sleep 0.05
    done
}

# Sets `inside` to the words that run a command in a network namespace with the address of the metadata
# service, and starts a server there, with the files of a pod. Fails where the system allows no namespace.
namespace=
inside=()
in_namespace() {
    if [[ -z $namespace ]]; then
        local user=() enter=()
        (( EUID == 0 )) || { user=(--user --map-root-user); enter=(--user --preserve-credentials); }
        unshare "${user[@]}" --net --mount sleep infinity 2>/dev/null &
        namespace=$!
        others+=("$namespace")
        inside_namespace=(nsenter --target "$namespace" "${enter[@]}" --net --mount --wd="$work")
        local tries=0
        until [[ -e /proc/$namespace/ns/net && ! /proc/$namespace/ns/net -ef /proc/self/ns/net ]]; do
            kill -0 "$namespace" 2>/dev/null || { namespace=none; break; }
            (( ++tries < 100 )) || { namespace=none; break; }
            sleep 0.05
        done
        if [[ $namespace != none ]]; then
            "${inside_namespace[@]}" ip link set lo up
            "${inside_namespace[@]}" ip address add 169.254.169.254/32 dev lo
            inside=("${inside_namespace[@]}")
            serve_in namespace --oke-port 12250
            namespace_url=$URL
            # The Go SDK looks for the service account's token here only.
            "${inside[@]}" mount -t tmpfs tmpfs /run
            "${inside[@]}" mkdir -p /run/secrets/kubernetes.io
            "${inside[@]}" ln -s "$folder/oke" /run/secrets/kubernetes.io/serviceaccount
            forward 169.254.169.254
        fi
    fi
    if [[ $namespace == none ]]; then
        echo "skipped, because a network namespace is refused: $scenario"
        return 1
    fi
    inside=("${inside_namespace[@]}") folder=$work/namespace URL=$namespace_url
}

put_and_get() { # put_and_get MODE: an object in parts and back with the OCI CLI
    oci_as "$1" object put -bn demo --file big --name "p/$1" --part-size 10 --force >put.json || fail "put"
    [[ $(field opc-multipart-md5 <put.json) == *-3 ]] || fail "not three parts"
    oci_as "$1" object get -bn demo --name "p/$1" --file back >out || fail "get"
    same big back
}

signed_by() { # signed_by PRINCIPAL: the last request was signed by such a principal
    tail -n 1 "$folder/requests.jsonl" | grep -q "\"principal\":\"$1\"" || fail "$1 did not sign"
}

scenario_principals_oci_resource_principal() {
    local folder=$work/store inside=()
    put_and_get resource_principal
    signed_by resource
    control POST rotate/resource_principal >out || fail "rotate"
    oci_as resource_principal ns get >out || fail "after the files were replaced"
    control POST 'rotate/resource_principal?leave=token_only' >out || fail "tear"
    refused NotAuthenticated oci_as resource_principal ns get
    control POST rotate/resource_principal/finish >out || fail "finish"
    oci_as resource_principal ns get >out || fail "after the torn pair was completed"
    local version
    for version in 2.1 2.1.1 2.1.2; do
        is "$(oci_as "resource_principal_$version" ns get | field data)" axlocalstore
        signed_by resource
    done
}

scenario_principals_python_token_exchange() {
    local folder inside=() URL
    serve_in exchange --token-ttl 3s
    "$referees/bin/python" "$here/exchange.py" "$folder" "$URL" 20 big exchanged 2>err || fail "exchange"
    signed_by federated_user
    local exchanges
    exchanges=$(count exchange)
    # The SDK asks again when a token has ended: in 20 s 4 to 8 times.
    (( exchanges >= 4 && exchanges <= 8 )) || fail "$exchanges exchanges"
}

scenario_principals_oci_oke_workload_identity() {
    local inside folder URL
    in_namespace || return 0
    put_and_get oke_workload_identity
    signed_by workload
    control POST rotate/service_account_token >out || fail "rotate"
    oci_as oke_workload_identity ns get >out || fail "with a new service account token"
    # The SDK puts the host into the URL as it is.
    with oke_workload_identity env 'KUBERNETES_SERVICE_HOST=[::1]' "${inside[@]}" "$referees/bin/oci" os ns get \
        >out || fail "IPv6"
    refused . with oke_workload_identity env OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH="$folder/ca.pem" \
        "${inside[@]}" "$referees/bin/oci" os ns get --no-retry
}

scenario_principals_oci_instance_principal() {
    local inside folder URL
    in_namespace || return 0
    put_and_get instance_principal
    signed_by instance
    # At the address of the metadata service.
    with instance_principal env -u OCI_METADATA_BASE_URL "${inside[@]}" "$referees/bin/oci" os ns get >out \
        || fail "at 169.254.169.254"
    control POST rotate/certificate >out || fail "rotate"
    oci_as instance_principal ns get >out || fail "with a new certificate"
}

scenario_principals_oci_instance_obo_user() {
    local inside folder URL
    in_namespace || return 0
    put_and_get instance_obo_user
    tail -n 1 "$folder/requests.jsonl" | grep -q '"delegated":true' || fail "not on behalf of the user"
    control POST rotate/delegation_token >out || fail "rotate"
    oci_as instance_obo_user ns get >out || fail "with a new delegation token"
}

# The OCI CLI takes no address for the federation of this version, so a variable defines the region and a proxy
# connects its name to the server.
scenario_principals_oci_resource_principal_of_an_instance() {
    local inside folder URL proxy
    in_namespace || return 0
    rm -f proxied
    "${inside[@]}" "$referees/bin/python" "$here/proxy.py" auth.local-test-1.localhost:443 "${URL##*:}" \
        >proxied 2>proxy.log &
    others+=($!)
    until [[ -s proxied ]]; do
        kill -0 $! 2>/dev/null || fail "the proxy does not start: $(<proxy.log)"
        sleep 0.05
    done
    read -r proxy <proxied
    with resource_principal_1.1 env NO_PROXY=127.0.0.1,169.254.169.254 HTTPS_PROXY="http://127.0.0.1:$proxy" \
        REQUESTS_CA_BUNDLE="$folder/ca.pem" \
        OCI_REGION_METADATA='{"realmKey":"OC99","realmDomainComponent":"localhost","regionKey":"lts","regionIdentifier":"local-test-1"}' \
        "${inside[@]}" "$referees/bin/oci" os ns get >out || fail "version 1.1"
    signed_by resource
}

principal_remote() { # principal_remote PROVIDER: writes rclone's configuration
    export RCLONE_CONFIG="$work/rclone-principal.conf"
    cat >"$RCLONE_CONFIG" <<CONFIG
[oos]
type = oracleobjectstorage
provider = $1
namespace = axlocalstore
compartment = ocid1.tenancy.oc1..x
region = local-test-1
endpoint = $URL
chunk_size = 5Mi
upload_cutoff = 6Mi
CONFIG
}

rclone_as() { local mode=$1; shift; with "$mode" "${inside[@]}" "$referees/bin/rclone" --log-level ERROR "$@"; }

scenario_principals_of_rclone() {
    local inside folder URL provider mode principal
    in_namespace || return 0
    while read -r provider mode principal; do
        principal_remote "$provider"
        rclone_as "$mode" rcat "oos:demo/rclone/$mode" <big || fail "$provider: rcat"
        rclone_as "$mode" cat "oos:demo/rclone/$mode" >back || fail "$provider: cat"
        same big back
        signed_by "$principal"
    done <<'PROVIDERS'
instance_principal_auth instance_principal instance
resource_principal_auth resource_principal resource
workload_identity_auth oke_workload_identity workload
PROVIDERS
}

ocipipe_as() { # ocipipe_as MODE [-u NAME]... [NAME=VALUE]... ARGUMENT...: ocipipe with the variables of a mode
    local mode=$1 changes=()
    shift
    while [[ $1 == -u || $1 == *=* ]]; do
        if [[ $1 == -u ]]; then changes+=("$1" "$2"); shift; else changes+=("$1"); fi
        shift
    done
    with "$mode" env "${changes[@]}" "${inside[@]}" "$OCIPIPE" "$@"
}

scenario_principals_of_ocipipe() {
    local folder=$work/store inside=() file mode
    for file in "$folder"/env/*; do
        mode=${file##*/}
        ocipipe_as "$mode" put "oci://demo/pipe/$mode" --part-size 10 <big >put.json || fail "$mode: put"
        [[ $mode == "$(field auth <put.json)"* ]] || fail "$mode is named otherwise in the receipt"
        ocipipe_as "$mode" get "oci://demo/pipe/$mode" >back || fail "$mode: get"
        same big back
    done
    os object get -bn demo --name pipe/token_exchange --file back >out || fail "get by the OCI CLI"
    same big back
}

# What the variables leave out is at its fixed address or port, or in its fixed file.
scenario_principals_of_ocipipe_without_addresses() {
    local inside folder URL
    in_namespace || return 0
    ocipipe_as instance_principal -u OCI_METADATA_BASE_URL put oci://demo/pipe/v4 <small >put.json \
        || fail "the metadata service at 169.254.169.254"
    signed_by instance
    "${inside[@]}" ip address add fd00:c1::a9fe:a9fe/128 dev lo nodad
    forward fd00:c1::a9fe:a9fe
    "${inside[@]}" ip address delete 169.254.169.254/32 dev lo
    ocipipe_as instance_principal -u OCI_METADATA_BASE_URL put oci://demo/pipe/v6 <small >put.json \
        || fail "the metadata service at its IPv6 address"
    signed_by instance
    with instance_principal env -u OCI_METADATA_BASE_URL "${inside[@]}" "$referees/bin/oci" os ns get >out \
        || fail "the OCI CLI at the IPv6 address"
    "${inside[@]}" ip address add 169.254.169.254/32 dev lo
    local host
    for host in 127.0.0.1 ::1 '[::1]'; do
        # Without a mode, since the files of a pod are found.
        ocipipe_as oke_workload_identity -u OCI_CLI_AUTH -u KUBERNETES_SERVICE_PORT_PROXYMUX \
            -u OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH -u OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_PATH \
            -u OCI_RESOURCE_PRINCIPAL_VERSION KUBERNETES_SERVICE_HOST="$host" \
            put "oci://demo/pipe/$host" <small >put.json || fail "OKE at $host"
        signed_by workload
    done
}

[[ -d $referees/typescript/node_modules ]] || return 0

scenario_principals_of_typescript() {
    local folder=$work/store mode
    for mode in instance_principal resource_principal oke_workload_identity; do
        with "$mode" env NODE_PATH="$referees/typescript/node_modules" node "$here/typescript.js" - - "$URL" big \
            "ts/$mode" >put.json || fail "$mode"
        [[ $(tail -n 1 put.json | field multipartMd5) == *-3 ]] || fail "not three parts"
    done
}
