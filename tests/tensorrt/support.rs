//! `engines/tensorrt-support.csv`: a row for every model, with changes that there are.

use hpinfer::onnx::surgery::Surgery;
use std::path::Path;

fn table(name: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("engines").join(name)).unwrap();
    text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn the_table_of_what_builds_names_every_model() {
    let rows = table("tensorrt-support.csv");
    let named = |rows: &[Vec<String>]| rows.iter().map(|row| row[0].clone()).collect::<std::collections::BTreeSet<_>>();
    let (built, known) = (named(&rows), named(&table("status.csv")));
    assert_eq!(built.symmetric_difference(&known).next(), None);
    for row in &rows {
        let [model, of_targets @ .., reason, _] = row.as_slice() else { panic!("{row:?}") };
        let [turing, ampere] = of_targets.as_chunks::<4>().0 else { panic!("{row:?}") };
        let yes = |cell: &str| ["no", "yes"].iter().position(|word| *word == cell).expect(model) == 1;
        assert_eq!(yes(&turing[2]) && yes(&ampere[2]), reason.is_empty(), "{model}: a reason where it does not build");
        for ([accepted, refused_by, built, changes], target) in [(turing, 75), (ampere, 86)] {
            assert_eq!(yes(accepted), refused_by.is_empty(), "{model}: what refuses the graph as it is");
            assert!(yes(accepted) || !yes(built) || !changes.is_empty(), "{model}: what cured it");
            for change in changes.split(';').filter(|change| !change.is_empty()) {
                let (name, places) = change.split_once(' ').unwrap();
                let known = Surgery::for_tensorrt_rtx(target).iter().any(|change| format!("{change:?}") == name);
                assert!((known || name == "Decoder") && places.parse::<usize>().is_ok_and(|places| places > 0), "{model}: {change}");
            }
        }
    }
}
