//! A session on its way to another host. `tests/interop/login.sh` does the same with the OCI CLI.

use std::fs;
use std::time::Duration;

use crate::browser::{Home, mode};
use crate::common::store::Store;

/// Exports the session of the store to `session.zip` in the home folder.
fn export(store: &Store, home: &Home) {
    let line = format!("session export --profile SESSION --output-file {}", zip(home));
    let config = store.server().config_path();
    let done = home.ocipipe(&line).arg("--config-file").arg(config).run().exits(0);
    let done = done.stderr_has(&["session.zip holds the session", "token expires at"]);
    done.stderr_lacks("warning");
}

fn zip(home: &Home) -> String {
    home.path("session.zip").to_str().unwrap().to_owned()
}

fn import(home: &Home) -> crate::common::run::Ocipipe {
    home.ocipipe(&format!("session import --session-archive {}", zip(home)))
}

#[test]
fn a_session_is_carried_to_a_host_without_a_config_file() {
    let (store, home) = (Store::start(), Home::new());
    export(&store, &home);
    assert_eq!(mode(&home.path("session.zip")), 0o600);
    let done = import(&home).run().exits(0);
    done.stderr_has(&["imported: the profile SESSION", "token expires at", "--profile SESSION"]);
    let folder = home.path(".oci/sessions/SESSION");
    assert_eq!(mode(&folder), 0o700);
    for name in ["oci_api_key.pem", "oci_api_key_public.pem", "token"] {
        assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
    }
    let config = home.read(".oci/config");
    assert!(
        config.contains(&format!("key_file={}/oci_api_key.pem\n", folder.display())),
        "{config}"
    );
    assert_eq!(mode(&home.path(".oci/config")), 0o600);
    home.put(&store, "SESSION", "x").stdin("bytes").run().exits(0);
    assert_eq!(store.object("x").unwrap(), b"bytes");
}

#[test]
fn an_expired_session_is_carried_with_a_warning() {
    let store = Store::with(|options| options.token_ttl = Duration::from_secs(1));
    let home = Home::new();
    std::thread::sleep(Duration::from_millis(1100));
    let line = format!("session export --profile SESSION --output-file {}", zip(&home));
    let config = store.server().config_path();
    let words = ["token expired at", "warning: the token has expired", "session authenticate"];
    home.ocipipe(&line).arg("--config-file").arg(config).run().exits(0).stderr_has(&words);
    import(&home).run().exits(0).stderr_has(&words);
}

/// Creates a namespace in which the command that follows may mount.
const MOUNTING: &str = "unshare --user --map-root-user --mount";

#[test]
fn a_config_file_that_is_a_mount_of_its_own_is_written_in_place_or_nothing_is() {
    let mut words = MOUNTING.split_whitespace();
    let mut command = std::process::Command::new(words.next().unwrap());
    command.args(words).args(["mount", "-t", "tmpfs", "none", "/mnt"]);
    if !command.stderr(std::process::Stdio::null()).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: no file can be mounted here");
        return;
    }
    let mounted = |home: &Home, mount: &str| {
        let (outside, config) = (home.path("outside"), home.path(".oci/config"));
        let script = format!(
            "{mount} && mount --bind {outside} {config} && \"$@\"; \
             code=$?; cat {config} >&2; exit $code",
            outside = outside.display(),
            config = config.display()
        );
        let script = format!("exec {MOUNTING} sh -c '{script}' sh \"$@\"");
        import(home).wrapped_by_script("sh", &script).run()
    };
    let former = "# kept\n[DEFAULT]\nuser=u\n";
    let (store, home) = (Store::start(), Home::new());
    export(&store, &home);
    home.write_config("");
    fs::write(home.path("outside"), former).unwrap();
    mounted(&home, "true").exits(0);
    let config = home.read("outside");
    assert!(config.starts_with(former) && config.contains("[SESSION]"), "{config}");
    assert!(home.path(".oci/sessions/SESSION/token").exists());
    assert_eq!(home.read(".oci/config"), "", "the file below the mount");

    // The disk of the mounted file is full.
    let home = Home::new();
    export(&store, &home);
    home.write_config("");
    fs::create_dir(home.path("disk")).unwrap();
    let disk = home.path("disk").display().to_string();
    let long = format!("{former}# {}\n", "x".repeat(4000));
    fs::write(home.path("long"), &long).unwrap();
    std::os::unix::fs::symlink("disk/config", home.path("outside")).unwrap();
    let full = format!(
        "mount -t tmpfs -o size=8k none {disk} && cp {} {disk}/config && head -c 4096 /dev/zero >{disk}/rest",
        home.path("long").display()
    );
    let done = mounted(&home, &full).fails(2);
    let done = done.stderr_has(&["cannot be written", "No space left"]).stderr_lacks("[SESSION]");
    assert!(done.stderr.contains(&long), "the former text is kept: {}", done.stderr);
    assert!(!home.path(".oci/sessions/SESSION/token").exists(), "nothing is half");
}

#[test]
fn nothing_is_replaced_without_force() {
    let (store, home) = (Store::start(), Home::new());
    export(&store, &home);
    let before = fs::read(home.path("session.zip")).unwrap();
    let line = format!("session export --profile SESSION --output-file {}", zip(&home));
    let again = home.ocipipe(&line).arg("--config-file").arg(store.server().config_path());
    again.run().exits(2).stderr_has(&["session.zip already"]);
    assert_eq!(fs::read(home.path("session.zip")).unwrap(), before);
    home.write_config("[SESSION]\nuser=u\n");
    // Meant for objects.
    fs::write(home.path(".oci/oci_cli_rc"), "[DEFAULT]\nforce = true\n").unwrap();
    import(&home).run().exits(2).stderr_has(&["has a profile SESSION already", "--force"]);
    assert_eq!(home.read(".oci/config"), "[SESSION]\nuser=u\n");
    assert!(!home.path(".oci/sessions").exists());
    import(&home).args("--profile-name OTHER").run().exits(0);
    import(&home).args("--force").run().exits(0);
    assert!(!home.read(".oci/config").contains("user"));
    home.put(&store, "OTHER", "x").stdin("bytes").run().exits(0);
}

#[test]
fn what_is_no_session_is_exit_2() {
    let (store, home) = (Store::start(), Home::new());
    let line = format!("session export --profile API_KEY --output-file {}", zip(&home));
    let config = store.server().config_path();
    let done = home.ocipipe(&line).arg("--config-file").arg(config).run().exits(2);
    done.stderr_has(&["has no session"]);
    assert!(!home.path("session.zip").exists());
    import(&home).run().exits(2).stderr_has(&["session.zip cannot be read"]);
    fs::write(home.path("session.zip"), "no zip").unwrap();
    import(&home).run().exits(2).stderr_has(&["is not imported: it is no zip archive"]);
    fs::write(home.path("session.zip"), vec![0; (1 << 20) + 1]).unwrap();
    import(&home).run().exits(2).stderr_has(&["more than 1 MiB"]);
    assert!(!home.path(".oci").exists());
}
