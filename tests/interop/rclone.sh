# rclone, whose backend uses the Go SDK.

remote() {
    export RCLONE_CONFIG="$work/rclone.conf"
    cat >"$RCLONE_CONFIG" <<CONFIG
[oos]
type = oracleobjectstorage
provider = user_principal_auth
namespace = axlocalstore
compartment = ocid1.tenancy.oc1..x
region = local-test-1
endpoint = $URL
config_file = $work/store/config
config_profile = API_KEY
chunk_size = 5Mi
upload_cutoff = 6Mi
CONFIG
}

scenario_rclone_stream() {
    remote
    rclone rcat oos:demo/r/small <small || fail "rcat small"
    rclone cat oos:demo/r/small >back || fail "cat small"
    same small back
    rclone rcat oos:demo/r/big <big || fail "rcat big"
    rclone cat oos:demo/r/big >back || fail "cat big"
    same big back
    is "$(rclone ls oos:demo/r | sort | tr -s ' ' | tr '\n' ';')" " 1000 small; 26214401 big;"
    rclone purge oos:demo/r || fail "purge"
}

scenario_rclone_copy_and_check() {
    remote
    mkdir -p tree/sub
    cp small tree/one
    cp big "tree/sub/two & more"
    rclone copy tree oos:backups/tree || fail "copy"
    rclone check tree oos:backups/tree || fail "check"
    rclone check --download tree oos:backups/tree || fail "check by download"
    rm -rf back.d && rclone copy oos:backups/tree back.d || fail "copy back"
    same "tree/sub/two & more" "back.d/sub/two & more"
    rclone deletefile oos:backups/tree/one || fail "deletefile"
    is "$(rclone lsf oos:backups/tree)" "sub/"
    rclone backend list-multipart-uploads oos:backups >uploads.json || fail "list uploads"
}
