//! What is said of a failure: the call that failed, and a hint that fits it.

mod common;

use common::run::ocipipe;
use common::store::Store;
use common::stream::{PART, ramp};
use ocipipe::emulator::Operation::CommitMultipartUpload;
use ocipipe::emulator::fault::{Action, Rule, When};
use rustix::fs::{Mode, OFlags};

#[test]
fn of_a_lost_answer_to_the_commit_the_commit_is_named_and_not_the_question_after_it() {
    let rule = Rule::on(CommitMultipartUpload, Action::LoseAnswer).when(When::Attempt(1));
    let store = Store::failing([rule]);
    let done = store.put("x").stdin(ramp(PART + 1)).run().exits(0);
    done.says(&["CommitMultipartUpload, attempt 1: the connection was lost"])
        .says_nothing_of("HeadObject");
}

#[test]
fn an_etag_that_does_not_match_is_not_answered_with_force() {
    let store = Store::start();
    store.put("x").args("--if-match nosuch").stdin("new").run().fails(6).says_nothing_of("--force");
    store.has_nothing_of("x");
}

#[test]
fn a_folder_as_stdin_is_refused_with_a_command_that_makes_sense() {
    let store = Store::start();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(store.folder(), flags, Mode::empty()).unwrap();
    store.put("x").stdin_from(folder).run().fails(5).says(&["tar c FOLDER | ocipipe put"]);
}

#[test]
fn an_endpoint_that_is_an_address_is_named_once() {
    let line = "put oci://backups@ns/x --endpoint http://127.0.0.1:1 --retry-for 1s";
    let store = Store::start();
    let done = ocipipe(line.split_whitespace())
        .arg("--config-file")
        .arg(store.server().config_path())
        .stdin("x")
        .run()
        .fails(4)
        .says(&["127.0.0.1:1: Connection refused"]);
    done.says_nothing_of("127.0.0.1:1: 127.0.0.1:1");
}
