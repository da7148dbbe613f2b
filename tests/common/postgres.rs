//! A real PostgreSQL server for one test.
//!
//! Knows nothing of the tests. Invariant: the server and its files are gone when the test ends.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs a program that must succeed; returns its stdout.
#[track_caller]
pub fn output(command: &mut Command) -> String {
    let output =
        command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A PostgreSQL server, reached by a socket in its folder.
pub struct Postgres {
    pub folder: tempfile::TempDir,
    programs: PathBuf,
}

impl Postgres {
    pub fn start() -> Postgres {
        let postgres = Postgres::in_new_folder();
        postgres.run("initdb", &["-D", "data", "-A", "trust", "-U", "owner", "-E", "UTF8", "-N"]);
        postgres.start_server();
        postgres
    }

    /// A server on the data that `unpack` writes into the folder `data`, with a `tar` that runs as the
    /// owner of the folder and has no arguments yet.
    pub fn restored(unpack: impl FnOnce(&mut Command)) -> Postgres {
        let postgres = Postgres::in_new_folder();
        output(postgres.owned(Path::new("mkdir")).args(["-m", "700", "data"]));
        unpack(&mut postgres.owned(Path::new("tar")));
        postgres.start_server();
        postgres
    }

    fn in_new_folder() -> Postgres {
        let folder = tempfile::tempdir().unwrap();
        // The server refuses to run as root; then another user needs access to the folder.
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
        Postgres { programs: newest_programs(), folder }
    }

    fn start_server(&self) {
        let options = format!("-k {} -c listen_addresses= -F", self.folder.path().display());
        let start = ["-D", "data", "-o", &options, "-l", "log", "-w", "start"];
        self.run("pg_ctl", &start);
    }

    /// One of the server's programs, as a user that may run it.
    pub fn command(&self, program: &str) -> Command {
        self.owned(&self.programs.join(program))
    }

    /// A program in the folder, as the owner of the server.
    fn owned(&self, path: &Path) -> Command {
        let mut command = if rustix::process::getuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command.current_dir(self.folder.path()).env("PGHOST", self.folder.path());
        command.env("PGUSER", "owner");
        command
    }

    #[track_caller]
    pub fn run(&self, program: &str, args: &[&str]) -> String {
        // The server inherits stdout and keeps it open, so reading it to its end would block.
        if program == "pg_ctl" {
            let status = self.command(program).args(args).stdout(Stdio::null()).status().unwrap();
            assert!(status.success(), "{program}");
            return String::new();
        }
        output(self.command(program).args(args))
    }

    #[track_caller]
    pub fn sql(&self, database: &str, text: &str) -> String {
        self.run("psql", &["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", text])
    }
}

impl Postgres {
    /// The number of tables that are being copied out of a database.
    pub fn dumping(&self, database: &str) -> usize {
        let text = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY %' \
                    AND state = 'active' AND pid <> pg_backend_pid()";
        self.sql(database, text).trim().parse().unwrap()
    }

    /// Waits until no dump has a session in a database; its transaction blocks the whole server.
    #[track_caller]
    pub fn wait_until_no_dump_runs(&self, database: &str) {
        let text = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_dump'";
        let began = Instant::now();
        while self.sql(database, text).trim() != "0" || self.dumping(database) > 0 {
            assert!(began.elapsed() < Duration::from_secs(20), "a dump still runs");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Immediate, because the folder is deleted.
        let stop = ["-D", "data", "-m", "immediate", "-w", "stop"];
        let _ = self.command("pg_ctl").args(stop).stdout(Stdio::null()).status();
    }
}

/// The folder of the server's programs: Debian's, or the one in PATH.
fn newest_programs() -> PathBuf {
    let debian = Path::new("/usr/lib/postgresql");
    let versions = std::fs::read_dir(debian).into_iter().flatten().flatten();
    let folders = versions.map(|entry| entry.path().join("bin"));
    let newest = folders.filter(|bin| bin.join("initdb").exists()).max();
    newest.unwrap_or_else(|| {
        let found = output(Command::new("sh").args(["-c", "command -v initdb"]));
        Path::new(found.trim()).parent().unwrap().to_owned()
    })
}
