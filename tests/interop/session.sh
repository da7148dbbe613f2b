# TLS, and a session token that the OCI CLI refreshes.

scenario_oci_tls() {
    local URL=${URL/http:/https:}
    os ns get --cert-bundle "$work/store/ca.pem" >out || fail "over TLS"
    os object put -bn demo --file big --name tls --part-size 10 --force \
        --cert-bundle "$work/store/ca.pem" >out || fail "put over TLS"
    os object get -bn demo --name tls --file back --cert-bundle "$work/store/ca.pem" >out \
        || fail "get over TLS"
    same big back
    refused . os ns get --no-retry
}

# The OCI CLI refreshes at https://auth.REGION.DOMAIN only. A variable defines the region, a proxy connects
# its name to the server, and the server's certificate has that name. The OCI CLI is unmodified.
start_proxy() { # start_proxy PORT: starts the proxy to the server on that port
    rm -f proxied
    "$referees/bin/python" "$here/proxy.py" auth.local-test-1.localhost:443 "$1" >proxied 2>proxy.log &
    until [[ -s proxied ]]; do
        kill -0 $! 2>/dev/null || fail "the proxy does not start: $(<proxy.log)"
        sleep 0.05
    done
    read -r proxy <proxied
}

real_refresh() { # real_refresh DIR: `oci session refresh` of the login in this folder
    env -u NO_PROXY HTTPS_PROXY="http://127.0.0.1:$proxy" REQUESTS_CA_BUNDLE="$work/$1/ca.pem" \
        OCI_REGION_METADATA='{"realmKey":"OC99","realmDomainComponent":"localhost","regionKey":"lts","regionIdentifier":"local-test-1"}' \
        "$referees/bin/oci" --config-file "$work/$1/config" --profile SESSION session refresh \
        >refreshed 2>&1
}

scenario_oci_session_refresh() {
    local before proxy
    before=$(cat store/token)
    start_proxy "${URL##*:}"
    real_refresh store || fail "refresh: $(<refreshed)"
    [[ $(cat store/token) != "$before" ]] || fail "the token is the same"
    os ns get >out || fail "the new token is not accepted"
    oci session validate --local >out || fail "the new token is not valid"
}

# An upload longer than three token lifetimes, for which only the OCI CLI refreshes the token.
scenario_oci_session_refresh_keeps_an_upload_alive() {
    local proxy life=30 upload rounds=0
    env OCIPIPE_SERVE_LOG=1 "$OCIPIPE" serve --dir "$work/short" --token-ttl "${life}s" >short.url 2>short.log &
    others+=($!)
    until [[ -s short.url ]]; do
        kill -0 $! 2>/dev/null || fail "the server does not start: $(<short.log)"
        sleep 0.05
    done
    local url
    read -r url <short.url
    start_proxy "${url##*:}"
    "$OCIPIPE" put oci://demo/alive --part-size 10 --no-refresh --debug --config-file short/config --profile SESSION \
        --endpoint "$url" --auth-endpoint "$url" --bwlimit 600KiB --parallel-upload-count 1 --file big >alive.json 2>alive.log &
    upload=$!
    while kill -0 $upload 2>/dev/null; do
        real_refresh short || fail "refresh: $(<refreshed)"
        rounds=$((rounds + 1))
        sleep 2
    done
    wait $upload || { tail -n 20 alive.log >err; fail "the upload ended"; }
    cmp -s big <("$OCIPIPE" get oci://demo/alive --config-file short/config \
        --profile SESSION --endpoint "$url" --no-refresh) \
        || fail "the object differs"
    python3 - short/requests.jsonl "$rounds" <<'PYTHON' || fail "the log of requests is wrong"
import json, sys
requests = [json.loads(line) for line in open(sys.argv[1])]
assert not [r for r in requests if r["status"] == 401], "a request was refused"
refreshes = [r for r in requests if r["operation"] == "RefreshToken"]
assert len(refreshes) == int(sys.argv[2]), "another program refreshed the token"
assert all(r["tls"] for r in refreshes)
used = {r["generation"] for r in requests if r["operation"] == "UploadPart"}
assert len(used) == 3, f"parts were signed with {used}"
PYTHON
}

scenario_oci_expired_token() {
    cp -r store expired
    python3 - <<'PYTHON'
import base64, json
# A token that claims to be valid, with a wrong signature.
head, body, signature = open("expired/token").read().split(".")
claims = json.loads(base64.urlsafe_b64decode(body + "=="))
claims["exp"] += 1000
body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
open("expired/token", "w").write(".".join([head, body, signature]))
PYTHON
    sed -i "s|$work/store/token|$work/expired/token|" expired/config
    refused NotAuthenticated "$referees/bin/oci" --config-file expired/config --profile SESSION \
        --auth security_token \
        --endpoint "$URL" os ns get
}
