//! Whatever is in a file of trees: it is refused, or every row gets its answer.
#![allow(clippy::unwrap_used)]

use models::trees::{Trees, lightgbm, xgboost};
use proptest::prelude::*;

const LIGHTGBM: &str = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=1\n\
    objective=binary sigmoid:1\nfeature_names=a b\n\nTree=0\nnum_leaves=4\nnum_cat=0\nsplit_feature=0 1 0\n\
    threshold=0.5 -1 0.25\ndecision_type=2 8 4\nleft_child=2 -2 -1\nright_child=1 -3 -4\n\
    leaf_value=0.1 -0.2 0.4 0.3\nshrinkage=1\n\n\nend of trees\n";

const XGBOOST: &str = r#"{"learner": {"gradient_booster": {"model": {"iteration_indptr": [0, 1], "tree_info": [0],
    "trees": [{"left_children": [1, 3, -1, -1, -1], "right_children": [2, 4, -1, -1, -1],
    "split_indices": [1, 0, 0, 0, 0], "split_conditions": [0.5, 0.25, -0.75, 0.1, 0.2],
    "default_left": [1, 0, 0, 0, 0], "split_type": [0, 0, 0, 0, 0]}]}, "name": "gbtree"},
    "learner_model_param": {"base_score": "5E-1", "num_class": "0", "num_feature": "2"},
    "objective": {"name": "binary:logistic"}}}"#;

fn answers(trees: &Trees) {
    if trees.inputs() > 100 {
        return;
    }
    for value in [0.0, 0.3, -2.0, 1e30, f32::NAN, f32::INFINITY] {
        let mut out = Vec::new();
        trees.predict(&vec![value; trees.inputs()], &mut out);
        assert_eq!(out.len(), trees.outputs());
    }
}

#[test]
fn the_files_as_they_are_are_read() {
    answers(&lightgbm::read(LIGHTGBM).unwrap());
    answers(&xgboost::read(XGBOOST).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_damaged_file_is_refused_or_answers(
        changes in prop::collection::vec((any::<prop::sample::Index>(), "[ -~\\n]{0,3}"), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        for (text, read) in [(LIGHTGBM, lightgbm::read as fn(&str) -> _), (XGBOOST, xgboost::read)] {
            let mut text = text.to_owned();
            for (at, with) in &changes {
                let at = at.index(text.len());
                text.replace_range(at..=at, with);
            }
            if let Some(cut) = &cut {
                text.truncate(cut.index(text.len()));
            }
            if let Ok(trees) = read(&text) {
                answers(&trees);
            }
        }
    }
}
