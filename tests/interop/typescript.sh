# The TypeScript SDK, which signs `x-date`, mixes upper and lower case in the list of signed headers, and
# lets profiles inherit everything from DEFAULT.

[[ -d $referees/typescript/node_modules ]] || return 0

scenario_typescript_signs_with_each_profile() {
    local profile
    for profile in API_KEY DEFAULT SESSION; do
        NODE_PATH=$referees/typescript/node_modules node "$here/typescript.js" "$work/store/config" \
            "$profile" "$URL" big "ts/$profile" >put.json 2>err || fail "$profile"
        [[ $(tail -n 1 put.json | field multipartMd5) == *-3 ]] || fail "not three parts"
    done
}
