//! The log of `--debug`: it has every decision about the token, and no part of the token.

use std::collections::HashSet;

use emulator::Operation;
use emulator::fault::{Fault, FaultPlan, FaultRule, Trigger};

use crate::fixture::{Fixture, LONG};

/// The log must not contain this many consecutive characters of a token or key.
const SLICE: usize = 20;

#[test]
fn debug_shows_each_decision_about_the_token_and_never_the_token() {
    let revoke =
        FaultRule::on(Operation::UploadPart, Fault::RevokeToken).part(4).when(Trigger::Attempt(1));
    let clock = FaultRule::on(Operation::UploadPart, Fault::MoveClock(400)).part(3);
    let plan = FaultPlan::new().with(revoke).with(clock.when(Trigger::Attempt(1)));
    let fixture = Fixture::with(4, |options| options.faults = plan);
    // The key is not encrypted, but the program reads the pass phrase before it knows that.
    let mut secrets = vec!["a pass phrase that must stay secret".to_owned()];
    let pass = secrets[0].clone();
    let mut remember = |fixture: &Fixture| {
        for file in [fixture.token(), fixture.key()] {
            secrets.push(std::fs::read_to_string(file).unwrap());
        }
    };
    remember(&fixture);
    let mut stream =
        fixture.start_stream(fixture.put().args("--debug").var("OCI_CLI_PASSPHRASE", pass));
    fixture.store_part(&mut stream);
    stream.run.wait_for_stderr("the session token was refreshed");
    remember(&fixture);
    fixture.store_part(&mut stream);
    // Tokens issued from now on last, so that no further refresh interferes.
    fixture.store.server().set_token_ttl(std::time::Duration::from_secs(LONG));
    fixture.log_in();
    fixture.copy_token();
    remember(&fixture);
    fixture.store_part(&mut stream);
    stream.send_part();
    stream.run.wait_for_stderr("gives up at");
    std::fs::write(fixture.token(), "half").unwrap();
    stream.run.wait_for_stderr("not usable for now");
    fixture.log_in_with_new_key();
    fixture.copy_key();
    fixture.copy_token();
    remember(&fixture);
    let done = fixture.finish(stream, 6).stderr_has(&[
        "signing with credentials no. 1, ",
        "signing with credentials no. 2, ",
        "signing with credentials no. 3, ",
        "refreshing the session token: it ends soon",
        "the session token was refreshed; valid until",
        "looked at the files of the credentials: they hold others, which are taken up",
        "loaded the changed credentials from disk; valid until",
        "a 401 that does not concern the current credentials: its request was dated by a wrong clock",
        "the local clock is 6 min 40 s behind",
        "the service refused the credentials (401)",
        "refreshing the session token: the service refused it",
        "the session token could not be refreshed (the auth service answered HTTP 401)",
        "probing with a small request",
        "a probe found the credentials still refused",
        "the upload has been waiting since",
        "not usable for now",
        "the upload goes on",
    ]);
    let logged: HashSet<&[u8]> = done.stderr.as_bytes().windows(SLICE).collect();
    let secrets = secrets.iter().flat_map(|secret| secret.lines());
    for secret in secrets.filter(|line| !line.contains("PRIVATE KEY") && line.len() >= SLICE) {
        let slices = secret.as_bytes().windows(SLICE);
        let leaked: Vec<_> = slices.filter(|slice| logged.contains(slice)).collect();
        assert!(leaked.is_empty(), "{} slices of a secret are in the log", leaked.len());
    }
}
