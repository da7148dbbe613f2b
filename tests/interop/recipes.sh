# The recipes of docs/recipes.md: its commands, taken from the page, with real PostgreSQL, MariaDB, tar, zstd
# and age. All of it runs as one user, whom a server of its own lets in.

recipes_page=$here/../../docs/recipes.md
recipes=            # the folder in which the commands run
recipes_ran=()      # "SECTION#NUMBER" of each block that has run
recipes_edit=       # a script of sed for the blocks that run, where they name places of a system

recipes_as_owner() { # a command as the user that runs the databases, with its credentials in the environment
    local user=()
    # The servers refuse to run as root; the OCI CLI may be in a folder that only root can read.
    (( EUID != 0 )) || [[ -n ${recipes_as_self:-} ]] || user=(setpriv --reuid=postgres --regid=postgres --clear-groups)
    (cd "$recipes" && exec "${user[@]}" env HOME="$recipes/home" PATH="$recipes/bin:$recipes_postgres:$PATH" \
        PGHOST="$recipes" OCI_CLI_CONFIG_FILE="$recipes/store/config" OCI_CLI_PROFILE=SESSION \
        OCI_CLI_AUTH=security_token OCI_CLI_ENDPOINT="${recipes_endpoint:-$recipes_url}" \
        OCIPIPE_AUTH_ENDPOINT="$recipes_url" "$@") 2>>err
}

recipes_serve() { # recipes_serve [PLAN]: starts the store, again at the same port, with the faults PLAN
    local arguments=(--dir "$recipes/store" --port "${recipes_url##*:}")
    [[ -n $recipes_url ]] || arguments=(--dir "$recipes/store")
    if (( $# )); then
        printf '%s\n' "$1" >"$recipes/plan.json"
        arguments+=(--faults "$recipes/plan.json")
    fi
    rm -f "$recipes/url"
    recipes_as_owner "$recipes_program" serve "${arguments[@]}" >"$recipes/url" &
    until [[ -s $recipes/url ]]; do
        kill -0 $! 2>/dev/null || fail "the store does not start"
        sleep 0.05
    done
    read -r recipes_url <"$recipes/url"
    recipes_store=$(pgrep -f -- "serve --dir $recipes/store")
    others+=("$recipes_store")
}

recipes_end_store() { # recipes_end_store SIGNAL
    kill "-$1" "$recipes_store"
    while kill -0 "$recipes_store" 2>/dev/null; do sleep 0.02; done
}

recipes_block() { # recipes_block SECTION NUMBER: prints the indented block of this number
    awk -v section="## $1" -v number="$2" '
        /^```/ { fenced = !fenced }
        fenced { next }
        /^## / { inside = $0 == section; count = 0 }
        /^    / { if (!open) { count++; open = 1 } if (inside && count == number) print substr($0, 5); next }
        { open = 0 }' "$recipes_page"
}

recipe() { # recipe SECTION NUMBER...: runs these blocks of the page
    local section=$1 number text
    shift
    for number in "$@"; do
        text=$(recipes_block "$section" "$number")
        [[ -n $text ]] || fail "the page has no block $number of '$section'"
        text=$(sed "${recipes_edit:-}" <<<"$text")
        recipes_as_owner bash -euo pipefail -c "$text" >out || fail "block $number of '$section'"
        recipes_ran+=("$section#$number")
    done
}

recipes_in_conf() { # recipes_in_conf FOLDER SECTION NUMBER: appends a block of the page to postgresql.conf
    recipes_block "$2" "$3" | sed "s,/usr/local/bin/,$recipes/bin/," \
        | recipes_as_owner tee -a "$1/postgresql.conf" >/dev/null
    recipes_ran+=("$2#$3")
}

pg_initdb() { # pg_initdb FOLDER
    recipes_as_owner initdb -D "$1" -A trust -N >/dev/null || fail "initdb"
    printf '%s\n' "unix_socket_directories = '$recipes'" "listen_addresses = ''" 'fsync = off' \
        | recipes_as_owner tee -a "$1/postgresql.conf" >/dev/null
}
sql() { recipes_as_owner psql -XAt -v ON_ERROR_STOP=1 -d mydb -c "$1" || fail "psql: $1"; }
pg_ctl() { # pg_ctl FOLDER ARGUMENT...
    recipes_as_owner pg_ctl -l log -w -D "$@" >/dev/null || fail "pg_ctl $*: $(tail -n 5 "$recipes/log")"
    ends_with_the_test "$1"
}
ends_with_the_test() { # ends_with_the_test FOLDER: the server of this folder, if it runs
    [[ ! -e $recipes/$1/postmaster.pid ]] || others+=("$(head -n 1 "$recipes/$1/postmaster.pid")")
}
isnt() { [[ $1 != "$2" ]] || fail "it is '$1'"; }
until_sql() { # until_sql VALUE QUERY
    local tries=0
    until [[ $(sql "$2") == "$1" ]]; do
        (( ++tries < 300 )) || fail "'$2' is '$(sql "$2")', not '$1'"
        sleep 0.1
    done
}

recipes_begin() {
    recipes=$work/recipes
    recipes_postgres=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1)
    recipes_url= recipes_store=
    mkdir -p "$recipes/bin" "$recipes/home"
    recipes_program=$(realpath "$OCIPIPE")
    ln -s "$recipes_program" "$recipes/bin/ocipipe"
    ln -s "$referees/bin/oci" "$recipes/bin/oci"
    if (( EUID == 0 )); then
        chown -R postgres "$recipes"
        chmod 711 "$work"
    fi
    recipes_serve
}

pg_database='How do I back up a PostgreSQL database?'
pg_server='How do I back up a whole PostgreSQL server?'
pg_night='How do I run a backup every night?'
pg_wal="How do I archive the WAL of a PostgreSQL server?"

recipes_cron() { # runs the lines of the crontab as cron does: twice, the second time after the object exists
    local command receipt before code count=0
    while read -r command <&3; do
        [[ ! ${command//\\%/} == *%* ]] || fail "a line has a percent sign that ends it"
        command=${command//\\%/%}
        recipes_as_owner sh -c "$command" >out || fail "the line of the crontab: $command"
        [[ ! -s out ]] || fail "the line of the crontab prints something: $command"
        receipt=$(grep -o '[a-z]*\.json' <<<"$command")
        recipes_as_owner ocipipe verify --quiet --receipt "home/$receipt" >out || fail "the receipt $receipt"
        before=$(<"$recipes/home/$receipt")
        code=0
        recipes_as_owner sh -c "$command" >out || code=$?
        is "$code" 6
        is "$(<"$recipes/home/$receipt")" "$before"
        count=$((count + 1))
    done 3< <(recipes_block "$pg_night" 1 | grep '^[0-9]* 2 ' | cut -d ' ' -f 6- | sed 's,daily/,daily/cron-,')
    is "$count" 2
    recipes_ran+=("$pg_night#1")
}

# Makes the data folder "data" one of Debian, whose configuration is in another folder. The packages make it in
# /etc/postgresql.
recipes_debian() {
    local etc=$recipes/etc/postgresql/17/main recipes_edit="s,/usr/lib/postgresql/17/bin/,,; s,-C /etc,-C $recipes/etc,"
    recipes_as_owner mkdir -p "$etc"
    recipes_as_owner mv data/postgresql.conf data/pg_hba.conf data/pg_ident.conf "$etc"
    printf '%s\n' "data_directory = '$recipes/main'" "hba_file = '/etc/postgresql/17/main/pg_hba.conf'" \
        "ident_file = '/etc/postgresql/17/main/pg_ident.conf'" "external_pid_file = '$recipes/main.pid'" \
        'archive_mode = on' "archive_command = 'false'" | recipes_as_owner tee -a "$etc/postgresql.conf" >/dev/null
    recipe "$pg_server" 4 5
    ends_with_the_test data
    is "$(sql 'SHOW config_file')" "$recipes/config/postgresql/17/main/postgresql.conf"
    is "$(sql 'SHOW archive_mode')" off
    [[ -s $recipes/data.pid && ! -e $recipes/main.pid ]] || fail "the copy writes the file of its server"
    recipes_as_owner ocipipe verify --quiet --receipt base.json >out || fail "the receipt of the base backup"
    recipes_as_owner ocipipe verify --quiet --receipt etc-postgresql.json >out || fail "the receipt of /etc"
}

content="SELECT count(*), md5(string_agg(md5(t::text), '' ORDER BY n)) FROM t"

recipes_postgresql() {
    pg_initdb main
    pg_ctl main start
    recipes_as_owner createdb mydb
    sql "CREATE ROLE keeper LOGIN PASSWORD 'secret'; CREATE TABLE t AS SELECT n, repeat(md5(n::text), 20) AS text
        FROM generate_series(1, 20000) AS n; ALTER TABLE t OWNER TO keeper" >out
    local before
    before=$(sql "$content")
    recipe "$pg_database" 1 2 3 4
    # On this server, which has the role, and on another one, to which the page brings it.
    recipe "$pg_database" 6
    is "$(recipes_as_owner psql -XAt -d restored -c "$content")" "$before"
    pg_initdb other
    echo 'port = 5433' | recipes_as_owner tee -a other/postgresql.conf >/dev/null
    pg_ctl other start
    PGPORT=5433 recipe "$pg_database" 5 6
    is "$(PGPORT=5433 recipes_as_owner psql -XAt -d restored -c "$content")" "$before"
    pg_ctl other -m immediate stop
    recipes_cron

    sql "ALTER SYSTEM SET archive_mode = on" >out
    recipe "$pg_server" 1 2
    pg_ctl main -m fast stop
    recipe "$pg_server" 3
    ends_with_the_test data
    is "$(sql "$content")" "$before"
    is "$(sql 'SHOW archive_mode')" off
    pg_ctl data -m fast stop
    recipes_debian
    is "$(sql "$content")" "$before"
    pg_ctl data -m fast stop
    mv "$recipes/data" "$recipes/without-wal"
    mv "$recipes/config" "$recipes/config-of-debian"
}

stored() { recipes_as_owner ocipipe get --quiet --file /dev/null "oci://backups/wal/$1" 2>/dev/null; }
archived="SELECT last_archived_wal FROM pg_stat_archiver"

switch() { # switch VARIABLE: ends the current segment, and sets the variable to its name
    sql 'SELECT pg_logical_emit_message(true, $$test$$, repeat($$x$$, 1000))' >out
    printf -v "$1" %s "$(sql 'SELECT pg_walfile_name(pg_switch_wal())')"
}

# The commit of a segment whose response never arrives.
unanswered='{"faults": [{"operation": "PutObject", "when": {"request": 1}, "action": {"stall_answer": {}}}]}'

until_stored() { # until_stored SEGMENT
    local tries=0
    until stored "$1"; do
        (( ++tries < 100 )) || fail "$1 is not stored"
        sleep 0.1
    done
}

recipes_kill_server() { # recipes_kill_server SEGMENT: kills PostgreSQL and the command that archives this segment
    local postmaster ended
    postmaster=$(head -n 1 "$recipes/main/postmaster.pid")
    ended=("$postmaster" $(pgrep -P "$postmaster"))
    kill -KILL "$postmaster" $(pgrep -f -- "--file pg_wal/$1")
    while kill -0 "${ended[@]}" 2>/dev/null; do sleep 0.05; done
}

recipes_wal() {
    local segment
    recipes_in_conf main "$pg_wal" 1
    pg_ctl main start
    switch segment
    until_sql "$segment" "$archived"
    # The store is killed between the commit and its response: the command of the segment finds it stored.
    recipes_end_store TERM
    recipes_serve "$unanswered"
    switch segment
    until_stored "$segment"
    isnt "$(sql "$archived")" "$segment"
    recipes_end_store KILL
    recipes_serve
    until_sql "$segment" "$archived"
    is "$(sql 'SELECT failed_count FROM pg_stat_archiver')" 0
    # PostgreSQL and the command are killed there: the command of the next start finds the segment stored.
    recipes_end_store TERM
    recipes_serve "$unanswered"
    switch segment
    until_stored "$segment"
    recipes_kill_server "$segment"
    recipes_end_store TERM
    recipes_serve
    pg_ctl main start
    until_sql "$segment" "$archived"
    switch segment
    until_sql "$segment" "$archived"

    # A base backup, what comes after it in the archive only, and both restored.
    local after
    recipes_block "$pg_server" 1 | sed 's,weekly/base-,weekly/base-wal-,' \
        | recipes_as_owner bash >out || fail "base backup"
    sql "INSERT INTO t VALUES (0, 'in the WAL only')" >out
    after=$(sql "$content")
    switch segment
    until_sql "$segment" "$archived"
    pg_ctl main -m fast stop
    recipes_unpack_base
    recipe "$pg_wal" 2
    recipes_missing_or_unknown "$segment"
    recipe "$pg_wal" 3
    recipes_is_recovered "$after"
    is "$(sql 'SHOW archive_mode')" off
    pg_ctl data -m fast stop
    if stored 00000002.history; then fail "a copy that is looked at writes into the archive"; fi
    # A copy that takes the place of the server archives its time line.
    mv "$recipes/data" "$recipes/looked-at"
    recipes_unpack_base
    recipe "$pg_wal" 2
    recipes_edit="s, -o '-c archive_mode=off',," recipe "$pg_wal" 3
    recipes_is_recovered "$after"
    until_stored 00000002.history
    pg_ctl data -m fast stop
    recipes_start_costs
}

recipes_unpack_base() { # the restore of the page, without the start
    recipes_block "$pg_server" 3 | grep -v '^pg_' | sed 's,weekly/base-,weekly/base-wal-,' \
        | recipes_as_owner bash -euo pipefail || fail "unpacking the base backup"
}

recipes_is_recovered() { # recipes_is_recovered CONTENT
    ends_with_the_test data
    until_sql f 'SELECT pg_is_in_recovery()'
    is "$(sql "$content")" "$1"
}

recipes_missing_or_unknown() { # what wal-get ends with; $1 is a segment that is stored
    local code=0 plan name
    # An outage is waited for.
    sed 's/--retry-for [^ ]*/--retry-for 1s/' "$recipes/data/wal-get" | recipes_as_owner tee wal-get >/dev/null
    recipes_as_owner chmod +x wal-get
    recipes_as_owner ./wal-get "$1" segment || fail "wal-get $1"
    is "$(stat -c %s "$recipes/segment")" 16777216
    recipes_as_owner ./wal-get 000000010000000000000FFF segment || code=$?
    is "$code" 1
    recipes_as_owner ocipipe put --quiet --file segment --storage-tier Archive oci://backups/wal/archived >out \
        || fail "put"
    code=0
    recipes_as_owner ./wal-get archived segment || code=$?
    is "$code" 255
    # A missing right; an outage; an outage after the first request.
    for plan in \
        '{"rights": ["OBJECT_CREATE", "OBJECT_OVERWRITE"]}' \
        '{"faults": [{"action": {"refuse": {"status": 503}}}]}' \
        '{"faults": [{"operation": "GetObject", "action": "reset_before_body"}]}'; do
        recipes_end_store TERM
        recipes_serve "$plan"
        for name in "$1" 000000010000000000000FFF; do
            code=0
            recipes_as_owner ./wal-get "$name" segment || code=$?
            is "$code" 255
        done
    done
    recipes_end_store TERM
    code=0
    recipes_as_owner ./wal-get "$1" segment || code=$?
    is "$code" 255
    recipes_serve
}

recipes_start_costs() { # prints what one command of the archive takes
    local from to count=20 number
    from=$(date +%s%N)
    for (( number = 0; number < count; number++ )); do
        recipes_as_owner ocipipe put --quiet --identical-ok --file segment "oci://backups/wal/cost-$number" >out \
            || fail "put"
    done
    to=$(date +%s%N)
    echo "    a segment of 16 MiB: $(( (to - from) / count / 1000000 )) ms"
}

recipes_mariadb() {
    local section='How do I back up MariaDB or MySQL?'
    printf '%s\n' '[client]' "socket=$recipes/mysql.sock" user=root | recipes_as_owner tee home/.my.cnf >/dev/null
    recipes_as_owner mariadb-install-db --no-defaults --datadir="$recipes/mysql" --skip-test-db \
        --auth-root-authentication-method=normal >/dev/null || fail "mariadb-install-db"
    recipes_as_owner mariadbd --no-defaults --datadir="$recipes/mysql" --socket="$recipes/mysql.sock" \
        --pid-file="$recipes/mysql.pid" --skip-networking >mariadb.log 2>&1 &
    local tries=0
    until recipes_as_owner mariadb -e 'SELECT 1' >/dev/null 2>&1; do
        (( ++tries < 300 )) || fail "MariaDB does not start: $(tail -n 5 mariadb.log)"
        sleep 0.1
    done
    others+=("$(<"$recipes/mysql.pid")")
    recipes_as_owner mariadb -e "CREATE DATABASE shop; USE shop; CREATE TABLE t (n INT PRIMARY KEY, text TEXT, b BLOB);
        INSERT INTO t SELECT seq, REPEAT(MD5(seq), 20), UNHEX(MD5(seq)) FROM seq_1_to_10000;
        CREATE PROCEDURE p() SELECT 1; CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SET @n = 1" || fail "mariadb"
    local before restore programs="SELECT count(*) FROM information_schema.routines WHERE routine_schema = 'shop'
        UNION ALL SELECT count(*) FROM information_schema.events WHERE event_schema = 'shop'"
    before=$(recipes_as_owner mariadb -N -e 'CHECKSUM TABLE shop.t')
    recipe "$section" 1 2 3
    for restore in 4 5; do
        recipes_as_owner mariadb -e 'DROP DATABASE shop'
        recipe "$section" "$restore"
        is "$(recipes_as_owner mariadb -N -e 'CHECKSUM TABLE shop.t')" "$before"
        is "$(recipes_as_owner mariadb -N -e "$programs")" $'1\n1'
    done
    recipes_as_owner mariadb-admin shutdown
}

recipes_folder() {
    local section='How do I back up a folder, compressed and encrypted?'
    recipes_as_owner mkdir -p srv/deep/folder
    head -c 3000000 /dev/urandom | recipes_as_owner tee srv/deep/random >/dev/null
    recipes_as_owner bash -c 'for (( n = 0; n < 100; n++ )); do echo "file $n" >srv/deep/folder/$n; done'
    recipe "$section" 1 2 3 4
    diff -r "$recipes/srv" "$recipes/restored" || fail "the restored folder differs"
}

recipes_zfs() {
    # No pool: `zfs send` writes a stream of its format, and `zfs receive` compares what it gets with it.
    # The folder of the tests may be closed to the user that runs the databases.
    cp "$here/zfs_stream.py" "$recipes/bin"
    cat >"$recipes/bin/zfs" <<END
#!/bin/sh
python3 "$recipes/bin/zfs_stream.py" 12 >stream
case \$1 in
    snapshot) ;;
    send) cat stream ;;
    receive) cmp - stream ;;
esac
END
    chmod +x "$recipes/bin/zfs"
    recipe 'How do I back up a ZFS dataset?' 1 2 3
}

recipes_lifecycle() {
    local section='How do I keep the backups of the last N days?' day recipes_as_self=1
    awk '/^```json/ { inside = 1; next } /^```/ { inside = 0 } inside' "$recipes_page" \
        | recipes_as_owner tee lifecycle.json >/dev/null
    # What the OCI CLI sends, to a server that takes everything: the emulator has no lifecycle policies.
    "$referees/bin/python" "$here/capture.py" >capture.log &
    others+=($!)
    until [[ -s capture.log ]]; do sleep 0.05; done
    recipes_endpoint=$(head -n 1 capture.log) recipe "$section" 1
    grep -q '^GET /n/space/b/backups/l ' capture.log || fail "the first request is $(<capture.log)"
    # It asks, and sends nothing without an answer.
    if recipes_endpoint=$(head -n 1 capture.log) recipes_as_owner bash -c "$(recipes_block "$section" 2)" >out; then
        fail "the rules are replaced without a question"
    fi
    if grep -q '^PUT ' capture.log; then fail "the rules are replaced without a question"; fi
    recipes_endpoint=$(head -n 1 capture.log) recipe "$section" 2 <<<y
    for day in daily weekly wal; do
        grep -q '^PUT /n/space/b/backups/l .*"objectNameFilter": {"inclusionPrefixes": \["'$day'/"\]}' capture.log \
            || fail "the policy is $(<capture.log)"
    done
    # 32 backups with that of today, of which the page keeps 30.
    for day in $(seq -w 1 31); do
        echo "$day" | recipes_as_owner ocipipe put --quiet "oci://backups/daily/mydb-2026-01-$day" >out || fail "put"
    done
    recipe "$section" 3
    is "$(recipes_as_owner ocipipe get --quiet oci://backups/daily/mydb-2026-01-03)" 03
    is "$(tr '\n' ' ' <"$recipes/expired")" 'daily/mydb-2026-01-01 daily/mydb-2026-01-02 '
    local code=0
    recipes_as_owner ocipipe get oci://backups/daily/mydb-2026-01-02 >out || code=$?
    is "$code" 4
}

recipes_all_ran() { # every block of the page has run
    awk '/^```/ { fenced = !fenced } fenced { next } /^## / { section = substr($0, 4); count = 0 }
        /^    / { if (!open) print section "#" ++count; open = 1; next }
        { open = 0 }' "$recipes_page" | sort >wanted
    printf '%s\n' "${recipes_ran[@]}" | sort -u >ran
    diff wanted ran || fail "blocks of the page have not run"
}

scenario_recipes_of_the_page() {
    recipes_begin
    recipes_postgresql
    recipes_wal
    recipes_mariadb
    recipes_folder
    recipes_zfs
    recipes_lifecycle
    recipes_all_ran
    recipes_end_store TERM
} </dev/null
