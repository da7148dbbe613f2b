# Pre-authenticated requests that the OCI CLI makes, used by ocipipe on a host with nothing else.

make_put_par() { # make_put_par ACCESS-TYPE [OPTION...]: prints the URL
    os preauth-request create --bucket-name demo --name backup --time-expires 2099-01-01T00:00:00Z \
        --access-type "$@" >out || return
    python3 -c 'import json; print(json.load(open("out"))["data"]["full-path"])'
}

with_par() { # with_par OPTION...: ocipipe put with the URL in the file `par`, and no settings
    env -i PATH="$PATH" "$OCIPIPE" put --par-file par --part-size 10 "$@" 2>err
}

scenario_oci_par_put() {
    local url
    url=$(make_put_par AnyObjectWrite --object-name db/) || fail "create for a prefix"
    (umask 077 && printf '# expires: 2099-01-01T00:00:00Z\n%s\n' "$url" >par)
    with_par --name db/big --file big >receipt || fail "put of many parts: $(<err)"
    is "$(field auth <receipt)" par
    os object get -bn demo --name db/big --file back >out || fail "get"
    same big back
    refused 'name does not begin' with_par --name other --file small --retry-for 1s
    ! grep -q "${url#*/p/}" err || fail "the URL is shown"

    url=$(make_put_par ObjectReadWrite --object-name one) || fail "create for an object"
    (umask 077 && echo "$url" >par)
    with_par --file small >receipt || fail "put of one request: $(<err)"
    case $(field verified-by <receipt) in opc-content-*) ;; *) fail "not compared" ;; esac
    refused 'exists already' with_par --file small
    os preauth-request list --bucket-name demo >out || fail "list"
    python3 - >ids <<'PY' || fail "ids"
import json
print(*(par["id"] for par in json.load(open("out"))["data"]), sep="\n")
PY
    while read -r id; do
        os preauth-request delete --bucket-name demo --par-id "$id" --force >out || fail "delete"
    done <ids
    refused 'expired or was deleted' with_par --file small --force --retry-for 1s
    os multipart list -bn demo --all >out || fail "multipart list"
}
