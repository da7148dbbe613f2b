mod fixed;
mod line;
mod transfer;

use std::collections::BTreeMap;

use line::Scenario;

/// The table that the bars of the controller are read against.
#[test]
fn four_connections_are_far_from_the_best_number_on_the_median_line() {
    let seeds = std::env::var("OCIPIPE_LINES").ok().and_then(|text| text.parse().ok());
    let mut ratios = vec![];
    let mut kinds = BTreeMap::<_, Vec<f64>>::new();
    for seed in 0..seeds.unwrap_or(60) {
        let scenario = Scenario::of_seed(seed);
        let (_, best) = fixed::best(&scenario);
        let ratio = best.seconds / fixed::four(&scenario).seconds;
        ratios.push(ratio);
        kinds.entry(scenario.kind).or_default().push(ratio);
    }
    for (kind, ratios) in &mut kinds {
        println!("{kind:?}: four carry {:.3} of the best, median", median(ratios));
    }
    assert!(median(&mut ratios) < 0.8);
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
