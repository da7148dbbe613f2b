# What is monitored: the metrics and the alert rules by Prometheus' own programs, the systemd unit and the
# CronJob of docs/examples by theirs, and the limits of the unit in a control group.

monitoring_examples=$here/../../docs/examples

# Reads the folder "textfile" with node_exporter; its page is in the file "scraped".
monitoring_scrape() {
    local port=$1
    prometheus-node-exporter --collector.disable-defaults --collector.textfile \
        --collector.textfile.directory="$work/textfile" --web.listen-address="127.0.0.1:$port" 2>exporter.log &
    local exporter=$! tries=0
    others+=("$exporter")
    until curl --silent --fail "http://127.0.0.1:$port/metrics" >scraped; do
        kill -0 "$exporter" 2>/dev/null || { cat exporter.log >&2; fail "node_exporter does not start"; }
        (( ++tries < 200 )) || fail "node_exporter does not answer"
        sleep 0.05
    done
    kill "$exporter"
}

scenario_monitoring_metrics() {
    mkdir -p textfile
    local job
    for job in one two; do
        "$OCIPIPE" put --local metrics-store --force "oci://b/$job" --metrics-file "textfile/$job.prom" \
            <small >out 2>err || fail "put of $job"
        promtool check metrics <"textfile/$job.prom" >out 2>&1 || fail "promtool of $job"
        [[ ! -s out ]] || fail "promtool has remarks"
    done
    refused 'exit code\|exited' "$OCIPIPE" put --local metrics-store --force oci://b/two \
        --metrics-file textfile/two.prom -- sh -c 'echo x; exit 3'
    # Both jobs on one page, as a server would read it.
    monitoring_scrape "$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
    grep -q '^node_textfile_scrape_error 0$' scraped || { cp scraped out; fail "node_exporter has an error"; }
    grep '^ocipipe_\|^# [A-Z]* ocipipe_' scraped | promtool check metrics >out 2>&1 || fail "promtool of both"
    is "$(grep -c '^# TYPE ocipipe_last_run_exit_code gauge$' scraped)" 1
    is "$(grep -c '^ocipipe_last_success_timestamp_seconds{job="\(one\|two\)"} 1.*e+09$' scraped)" 2
    is "$(sed -n 's/^ocipipe_last_run_exit_code{job="two"} //p' scraped)" 5
}

scenario_monitoring_rules() {
    local name
    for name in prometheus-rules prometheus-rules-kubernetes; do
        promtool check rules "$monitoring_examples/$name.yml" >out 2>&1 || fail "check $name"
        promtool test rules "$monitoring_examples/$name-test.yml" >out 2>&1 || fail "test $name"
    done
}

scenario_monitoring_cronjob() {
    local name
    for name in cronjob restore; do
        "$referees/bin/kubernetes-validate" --strict "$monitoring_examples/kubernetes-$name.yaml" >out 2>&1 \
            || fail "kubernetes-$name.yaml"
    done
}

scenario_monitoring_unit() {
    local name
    mkdir -p unit
    for name in service timer; do
        # The unit names a program that has to exist.
        sed "s,/usr/bin/ocipipe,$OCIPIPE," "$monitoring_examples/ocipipe-backup.$name" >"unit/ocipipe-backup.$name"
    done
    systemd-analyze verify unit/ocipipe-backup.service unit/ocipipe-backup.timer >out 2>&1 || fail "the units"
    [[ ! -s out ]] || fail "systemd-analyze has remarks"
}

# Makes a group of this version 1 controller, or of version 2, with one limit.
monitoring_group() { # monitoring_group CONTROLLER FILE_V1 FILE_V2 VALUE
    local base group
    for base in "/sys/fs/cgroup/$1" /sys/fs/cgroup; do
        group=$base/ocipipe-unit-$$
        [[ -d $group ]] || mkdir "$group" 2>/dev/null || continue
        for name in "$2" "$3"; do
            if [[ -e $group/$name ]]; then
                echo "$4" >"$group/$name"
                echo "$group"
                return
            fi
        done
        rmdir "$group"
    done
    return 1
}

scenario_monitoring_limits() {
    local unit=$monitoring_examples/ocipipe-backup.service memory tasks memory_group pids_group options
    memory=$(sed -n 's/^MemoryMax=//p' "$unit") tasks=$(sed -n 's/^TasksMax=//p' "$unit")
    options=$(grep -o -- '--max-memory [^ ]*' "$unit")
    if ! memory_group=$(monitoring_group memory memory.limit_in_bytes memory.max "$memory") ||
        ! pids_group=$(monitoring_group pids pids.max pids.max "$tasks"); then
        echo "skipped, because no control group can be made here: the limits of the unit"
        return
    fi
    # More bytes than the limit; the command is a process as pg_dump would be.
    OPTIONS=$options STORE=$work/store URL=$URL OCIPIPE=$OCIPIPE sh -c 'for group; do echo $$ >"$group/cgroup.procs"; done; shift $#; exec env OCI_CLI_PROFILE=SESSION \
        "$OCIPIPE" put $OPTIONS --config-file "$STORE/config" --endpoint "$URL" --auth-endpoint "$URL" --force \
        oci://demo/unit --metrics-file unit.prom -- head -c 700M /dev/zero' sh "$memory_group" "$pids_group" \
        >out 2>err || fail "put within MemoryMax=$memory and TasksMax=$tasks"
    is "$(sed -n 's/^ocipipe_last_run_object_bytes.* //p' unit.prom)" 734003200
    # version 1 counts refused memory, version 2 ended processes
    if [[ -e $memory_group/memory.events ]]; then grep -q '^oom_kill 0$' "$memory_group/memory.events"; fi \
        || fail "the kernel ended a process"
    is "$(sed -n 's/^max //p' "$pids_group/pids.events")" 0
    rmdir "$memory_group"
    [[ $pids_group == "$memory_group" ]] || rmdir "$pids_group"
    os object delete -bn demo --name unit --force >out || fail "delete"
}
