//! CTC decoding against NumPy.

use hpinfer::ops::ctc::ScoreKind;
use hpinfer::ops::ctc::cpu::decode;
use serde_json::Value;

/// NumPy sums the softmax and the mean in f32.
const SCORE_TOLERANCE: f64 = 1e-6;

/// The finaliser of SplitMix64, as in `make_ctc.py`.
fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn compare(json: &str) {
    let cases: Vec<Value> = serde_json::from_str(json).unwrap();
    let (mut worst, mut kept) = (0f64, 0);
    for case in &cases {
        let int = |key: &str| case[key].as_u64().unwrap() as usize;
        let float = |key: &str| case[key].as_f64().unwrap() as f32;
        let (steps, classes) = (int("steps"), int("classes"));
        let mut logits: Vec<f32> = (0..(steps * classes) as u64)
            .map(|i| (mix(case["seed"].as_u64().unwrap() + i) >> 40) as f32 / (1 << 24) as f32 * float("spread"))
            .collect();
        for (step, winners) in case["winners"].as_array().unwrap().iter().enumerate() {
            for winner in winners.as_array().unwrap() {
                logits[step * classes + winner.as_u64().unwrap() as usize] = float("spread") + float("peak");
            }
        }
        let probabilities: Vec<f32> = logits
            .chunks(classes)
            .flat_map(|row| {
                let largest = row.iter().copied().fold(f32::MIN, f32::max);
                let sum: f64 = row.iter().map(|v| f64::from(v - largest).exp()).sum();
                row.iter().map(move |v| (f64::from(v - largest).exp() / sum) as f32)
            })
            .collect();
        let expected: Vec<u32> = case["expected"].as_array().unwrap().iter().map(|c| c.as_u64().unwrap() as u32).collect();
        for (scores, kind) in [(&logits, ScoreKind::Logits), (&probabilities, ScoreKind::Probabilities)] {
            let decoded = decode(scores, steps, classes, kind);
            assert_eq!(decoded.classes, expected, "{kind:?}");
            let gap = (f64::from(decoded.score) - case["score"].as_f64().unwrap()).abs();
            assert!(gap <= SCORE_TOLERANCE, "{kind:?}: score {} is {gap} off", decoded.score);
            worst = worst.max(gap);
        }
        kept += expected.len();
    }
    assert!(kept > 0, "nothing was kept");
    println!("{} sequences, {kept} kept steps, largest score gap {worst:.1e}", cases.len());
}

#[test]
fn sequences_decode_as_numpy_does() {
    compare(include_str!("../fixtures/text/ctc.json"));
}

/// Fresh sequences of `make_ctc.py`; `HPINFER_PARITY_CTC` names the file.
#[test]
#[ignore = "needs a file made by tests/fixtures/text/make_ctc.py"]
fn fresh_sequences_decode_as_numpy_does() {
    let path = std::env::var("HPINFER_PARITY_CTC").expect("HPINFER_PARITY_CTC");
    compare(&std::fs::read_to_string(path).unwrap());
}
