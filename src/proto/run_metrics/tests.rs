//! Tests of the text and of what may be replaced.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Former, RunMetrics, WaitTimes};

fn run(ended: u64, exit_code: u8) -> RunMetrics {
    RunMetrics { ended: Duration::from_secs(ended), exit_code, ..RunMetrics::default() }
}

fn ours(last_success: &str) -> Former {
    Former::Ours { last_success: last_success.to_owned() }
}

fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(&format!("ocipipe_{name}{{job=\"j\"}} ")))
}

#[test]
fn each_metric_has_its_help_its_type_and_one_sample_of_the_job() {
    let all = RunMetrics {
        token_expiry: Some(Duration::from_millis(5_250)),
        credentials_end: Some(Duration::from_secs(9)),
        waits: WaitTimes { line: Duration::from_micros(1_500_900), ..WaitTimes::default() },
        identical: true,
        ..run(7, 0)
    };
    let text = all.text("j", &Former::Nothing);
    let lines: Vec<&str> = text.lines().collect();
    let mut names = BTreeSet::new();
    for three in lines.chunks(3) {
        let name = three[2].split('{').next().unwrap();
        assert!(three[0].starts_with(&format!("# HELP {name} ")), "{three:?}");
        assert_eq!(three[1], format!("# TYPE {name} gauge"));
        assert!(three[2].starts_with(&format!("{name}{{job=\"j\"}} ")), "{three:?}");
        assert!(names.insert(name), "{name} is there twice");
    }
    assert_eq!(names.len(), 15);
    assert_eq!(value(&text, "token_expiry_timestamp_seconds"), Some("5.250"));
    assert_eq!(value(&text, "last_run_line_wait_seconds"), Some("1.500"));
    assert_eq!(value(&text, "last_run_identical"), Some("1"));
}

#[test]
fn what_is_unknown_is_absent() {
    let text = run(7, 3).text("j", &Former::Nothing);
    assert!(!text.contains("token_expiry") && !text.contains("credentials_end"), "{text}");
}

#[test]
fn the_time_of_the_last_success_moves_only_with_a_success() {
    let stamp = |text: &str| value(text, "last_success_timestamp_seconds").unwrap().to_owned();
    let first = run(100, 5).text("j", &Former::Nothing);
    assert_eq!(stamp(&first), "0");
    let mut text = first;
    for (ended, exit_code, want) in
        [(200, 0, "200.000"), (300, 4, "200.000"), (400, 143, "200.000"), (500, 0, "500.000")]
    {
        let former = Former::read(&text, "j").unwrap();
        text = run(ended, exit_code).text("j", &former);
        assert_eq!(stamp(&text), want, "{ended}");
        assert_eq!(value(&text, "last_run_timestamp_seconds"), Some(&*format!("{ended}.000")));
        assert_eq!(value(&text, "last_run_exit_code"), Some(&*exit_code.to_string()));
    }
}

#[test]
fn any_job_is_read_back() {
    for job in ["mydb", "a \"quoted\" \\ one", "line\nfeed", "caf\u{e9}", "}", "{job=\"x\"} 1"] {
        let text = run(7, 0).text(job, &Former::Nothing);
        assert_eq!(Former::read(&text, job), Ok(ours("7.000")), "{text}");
        assert_eq!(Former::read(&text, "other"), Err("it is of another job"));
    }
}

#[test]
fn the_file_of_another_version_is_read_and_an_empty_one_is_nothing() {
    let text = "# HELP ocipipe_new_thing Anything.\nocipipe_new_thing{job=\"j\"} 4\n\
                ocipipe_last_success_timestamp_seconds{job=\"j\"} 12\n";
    assert_eq!(Former::read(text, "j"), Ok(ours("12")));
    assert_eq!(Former::read("", "j"), Ok(Former::Nothing));
}

#[test]
fn what_another_program_wrote_is_left_alone() {
    let good = run(7, 0).text("j", &Former::Nothing);
    let stamp = "ocipipe_last_success_timestamp_seconds{job=\"j\"} 7.000\n";
    for odd in [
        "node_load1 0.3\n".to_owned(),
        "\n".to_owned(),
        "ocipipe_\n".to_owned(),
        format!("{good}node_load1 0.3\n"),
        format!("{good}# a comment\n"),
        format!("{good}\n"),
        format!("{good}{stamp}"),
        good.replace(stamp, ""),
        good.replace(stamp, &stamp.replace("7.000", "NaN")),
        good.replace(stamp, &stamp.replace("7.000", "-7")),
        good.replace(stamp, &stamp.replace("7.000", "7e9")),
        good.replace(stamp, &stamp.replace("7.000", "7 1000")),
        good.replace(stamp, &stamp.replace("{job=\"j\"}", "{job=\"j\",host=\"h\"}")),
        good.replace(stamp, &stamp.replace("{job=\"j\"}", "")),
        good.trim_end().to_owned(),
    ] {
        assert!(Former::read(&odd, "j").is_err(), "{odd}");
    }
    for end in 1..good.len() {
        assert!(Former::read(&good[..end], "j").is_ok() <= good[..end].ends_with('\n'), "{end}");
    }
}
