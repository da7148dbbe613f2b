//! The other commands through the end of a token: reading back, listing, two at a time.

use std::time::Duration;

use ocipipe::emulator::Operation;
use ocipipe::emulator::fault::{Action, Plan, Rule, When};

use crate::common::run::Running;
use crate::common::store::BUCKET;
use crate::common::stream::{assert_same, ramp};
use crate::scene::{LONG, Scene};
use crate::together;

together!(the_other_commands_outlive_their_credentials_too {
    reading_back_with_a_refused_token_that_can_be_refreshed: reads_on_after_a_refresh();
    reading_back_until_there_is_a_new_login: reads_on_after_a_login();
    reading_back_for_several_lives: reads_for_several_lives();
    listing_with_a_token_near_its_end: lists();
    refreshing_twice_at_a_time: refreshes_twice();
});

/// Three ranges and a bit.
const LENGTH: usize = 50 << 20;

/// A store with one object, in which reading meets a fault.
fn stored(life: u64, rule: Option<Rule>) -> Scene {
    let scene = Scene::new(life);
    scene.put().stdin(ramp(LENGTH)).run().exits(0);
    if let Some(rule) = rule {
        scene.store.server().set_faults(Plan::new().with(rule));
    }
    scene
}

fn reads(scene: &Scene, options: &str) -> Running {
    let run = scene.ocipipe("get").args(options);
    run.arg("--file").arg(scene.home("back")).arg(format!("oci://{BUCKET}/x")).start()
}

fn read_back(scene: &Scene, run: Running) -> String {
    let done = run.ends().exits(0);
    assert_same(&std::fs::read(scene.home("back")).unwrap(), &ramp(LENGTH));
    done.stderr
}

fn second_range(action: Action) -> Option<Rule> {
    Some(Rule::on(Operation::GetObject, action).when(When::Request(2)))
}

/// 401s allowed: one for each range on its way.
fn reads_on_after_a_refresh() {
    let scene = stored(LONG, second_range(Action::DistrustToken));
    let said = read_back(&scene, reads(&scene, ""));
    assert_eq!(scene.refreshes().len(), 1, "{said}");
    let refused = scene.store.requests_of(Operation::GetObject);
    assert!(refused.iter().filter(|record| record.status == 401).count() <= 4, "{refused:#?}");
}

fn reads_on_after_a_login() {
    let scene = stored(LONG, second_range(Action::RevokeToken));
    let run = reads(&scene, "--no-refresh");
    run.waits_for_word("gives up at");
    scene.logs_in_with_new_key();
    scene.take_key();
    scene.take_token();
    let said = read_back(&scene, run);
    assert!(said.contains("took up the changed credentials from disk"), "{said}");
}

/// Each range is judged late in the life of a token. 401s allowed: one for each of the four ranges, of
/// a token that ended on the way.
fn reads_for_several_lives() {
    let rule = Rule::on(Operation::GetObject, Action::Delay(2500));
    let scene = stored(4, Some(rule));
    read_back(&scene, reads(&scene, ""));
    let reads = scene.store.requests_of(Operation::GetObject);
    assert!(reads.iter().filter(|record| record.status == 401).count() <= 4, "{reads:#?}");
    assert!(!scene.refreshes().is_empty());
}

/// A token with a moment to live is used; one that is over is not. 401s allowed: none.
fn lists() {
    let scene = Scene::new(3);
    let list = || scene.ocipipe("uploads list").arg(format!("oci://{BUCKET}")).run();
    list().exits(0);
    std::thread::sleep(Duration::from_secs(3));
    list().exits(3).says(&["expired at", "oci session authenticate"]);
    scene.logs_in();
    scene.take_token();
    list().exits(0);
    scene.nothing_was_refused();
}

/// Both succeed, whoever comes second reads what the first has written, and the file is whole.
fn refreshes_twice() {
    let scene = Scene::new(LONG);
    std::thread::sleep(Duration::from_millis(1100));
    let slow = Rule::on(Operation::RefreshToken, Action::StallAnswer { ms: Some(700) });
    scene.store.server().set_faults(Plan::new().with(slow));
    let runs = [(); 2].map(|()| scene.ocipipe("session refresh").start());
    for run in runs {
        let done = run.ends().exits(0);
        assert!(done.stdout.contains("was refreshed"), "{}", done.stdout);
    }
    assert_eq!(scene.refreshes().len(), 1);
    scene.token_is_private();
    scene.ocipipe("session show").run().exits(0);
}
