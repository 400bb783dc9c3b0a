//! The text of LightGBM's `Booster.save_model`.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::{Link, Missing, Next, Node, Tree, Trees, bad};
use crate::card::ModelError;

type Fields<'a> = BTreeMap<&'a str, &'a str>;

/// Reads a model.
///
/// # Errors
/// Not one, not a classifier, or one that uses what is not read here.
pub fn read(text: &str) -> Result<Trees, ModelError> {
    let mut blocks = text.split("\n\n").map(|block| block.trim_matches('\n'));
    let head = fields(blocks.next().unwrap_or_default());
    if !text.starts_with("tree\n") {
        return bad("it is not the text of a LightGBM model");
    }
    if !text.contains("\nend of trees") {
        return bad("the LightGBM model breaks off before its trees end");
    }
    let features = number::<usize>(&head, "max_feature_idx")?.saturating_add(1);
    let classes: usize = number(&head, "num_class")?;
    let per_round: usize = number(&head, "num_tree_per_iteration")?;
    let objective = head.get("objective").copied().unwrap_or_default();
    let mut words = objective.split(' ');
    let link = match words.next() {
        Some("binary") | Some("cross_entropy") => {
            let slope = words.find_map(|word| word.strip_prefix("sigmoid:")).map_or(Ok(1.0), str::parse);
            Link::Sigmoid(slope.or_else(|_| bad("the objective's sigmoid is not a number"))?)
        }
        Some("multiclass") => Link::Softmax,
        _ => return bad(format!("its objective is `{objective}`; train a classifier (binary or multiclass)")),
    };
    if classes == 0 || classes > 1_000 || per_round != classes {
        return bad(format!("it has {classes} classes and {per_round} trees a round"));
    }
    let mut trees = Vec::new();
    for block in blocks.filter(|block| block.trim_start().starts_with("Tree=")) {
        let of = trees.len() % per_round;
        match tree(&fields(block))?.checked(features) {
            Some(tree) => trees.push((of, tree)),
            None => return bad(format!("tree {} of the LightGBM model is damaged", trees.len())),
        }
    }
    if trees.is_empty() || trees.len() % per_round != 0 {
        return bad(format!("it has {} trees in rounds of {per_round}", trees.len()));
    }
    // A random forest's answer is the mean of its rounds.
    let rounds = if head.contains_key("average_output") { (trees.len() / per_round) as f64 } else { 1.0 };
    Ok(Trees { features, start: vec![0.0; classes], trees, link, single: false, rounds })
}

fn fields(block: &str) -> Fields<'_> {
    block.lines().map(|line| line.split_once('=').unwrap_or((line, ""))).collect()
}

fn number<T: FromStr>(fields: &Fields<'_>, name: &str) -> Result<T, ModelError> {
    match fields.get(name).map(|text| text.trim().parse()) {
        Some(Ok(number)) => Ok(number),
        _ => bad(format!("the LightGBM model has no number `{name}`")),
    }
}

fn list<T: FromStr>(fields: &Fields<'_>, name: &str, count: usize) -> Result<Vec<T>, ModelError> {
    let text = fields.get(name).copied().unwrap_or_default();
    let values: Result<Vec<T>, _> = text.split_ascii_whitespace().map(str::parse).collect();
    match values {
        Ok(values) if values.len() == count => Ok(values),
        _ => bad(format!("a tree of the LightGBM model does not have {count} numbers `{name}`")),
    }
}

fn tree(fields: &Fields<'_>) -> Result<Tree, ModelError> {
    let leaves: usize = number(fields, "num_leaves")?;
    let values: Vec<f64> = list(fields, "leaf_value", leaves)?;
    if number::<usize>(fields, "num_cat")? > 0 {
        return bad("it splits on categories; the features are numbers: train without categorical_feature");
    }
    if fields.get("is_linear").is_some_and(|linear| *linear != "0") {
        return bad("its leaves are linear; train with linear_tree=false");
    }
    let [first, ..] = values.as_slice() else { return bad("a tree of the LightGBM model has no leaf") };
    if leaves == 1 {
        return Ok(Tree { root: Next::Leaf(*first), nodes: Vec::new() });
    }
    let splits = leaves - 1;
    let features: Vec<usize> = list(fields, "split_feature", splits)?;
    let thresholds: Vec<f64> = list(fields, "threshold", splits)?;
    let kinds: Vec<u8> = list(fields, "decision_type", splits)?;
    let left: Vec<i64> = list(fields, "left_child", splits)?;
    let right: Vec<i64> = list(fields, "right_child", splits)?;
    // What is below zero is a leaf, counted from -1 down.
    let next = |child: i64| match usize::try_from(child) {
        Ok(at) => Ok(Next::Node(at)),
        Err(_) => match usize::try_from(-1 - child).ok().and_then(|at| values.get(at)) {
            Some(value) => Ok(Next::Leaf(*value)),
            None => bad("a tree of the LightGBM model names a leaf that is not there"),
        },
    };
    let mut nodes = Vec::with_capacity(splits);
    for at in 0..splits {
        nodes.push(Node {
            feature: features[at],
            threshold: thresholds[at],
            equal_left: true,
            missing: match kinds[at] >> 2 & 3 {
                0 => Missing::Nothing,
                1 => Missing::Zero,
                _ => Missing::NotANumber,
            },
            default_left: kinds[at] & 2 != 0,
            left: next(left[at])?,
            right: next(right[at])?,
        });
    }
    Ok(Tree { root: Next::Node(0), nodes })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=1\n\
        objective=binary sigmoid:1\nfeature_names=a b\n\nTree=0\nnum_leaves=3\nnum_cat=0\nsplit_feature=0 1\n\
        threshold=0.5 -1\ndecision_type=2 2\nleft_child=-1 -2\nright_child=1 -3\nleaf_value=0.1 -0.2 0.4\nshrinkage=1\n\n\n\
        Tree=1\nnum_leaves=1\nnum_cat=0\nleaf_value=0.25\nshrinkage=1\n\n\nend of trees\n";

    fn says(trees: &Trees, row: &[f32]) -> f32 {
        let mut out = Vec::new();
        trees.predict(row, &mut out);
        assert_eq!(out.len(), 1);
        out[0]
    }

    #[test]
    fn a_row_falls_to_its_leaf() {
        let trees = read(MODEL).unwrap();
        assert_eq!((trees.inputs(), trees.outputs()), (2, 1));
        let sigmoid = |sum: f64| (1.0 / (1.0 + (-sum).exp())) as f32;
        assert_eq!(says(&trees, &[0.5, 0.0]), sigmoid(0.35), "equal goes to the left");
        assert_eq!(says(&trees, &[0.6, -1.0]), sigmoid(0.05));
        assert_eq!(says(&trees, &[0.6, -0.9]), sigmoid(0.65));
        assert_eq!(says(&trees, &[f32::NAN, 0.0]), sigmoid(0.35), "no number is zero");
    }

    #[test]
    fn what_is_not_read_here_is_told() {
        let said = |from: &str, to: &str| read(&MODEL.replace(from, to)).unwrap_err().to_string();
        assert!(said("tree\nversion", "forest\nversion").contains("not the text of a LightGBM model"));
        assert!(said("end of trees", "").contains("breaks off"));
        assert!(said("binary sigmoid:1", "regression").contains("train a classifier"));
        assert!(said("num_cat=0\nsplit", "num_cat=1\nsplit").contains("categorical_feature"));
        assert!(said("threshold=0.5 -1", "threshold=0.5").contains("`threshold`"));
        assert!(said("right_child=1 -3", "right_child=0 -3").contains("tree 0 of the LightGBM model is damaged"));
        assert!(said("right_child=1 -3", "right_child=1 -9").contains("a leaf that is not there"));
        assert!(said("split_feature=0 1", "split_feature=0 7").contains("damaged"));
        assert!(said("leaf_value=0.1 -0.2 0.4", "leaf_value=0.1 nan 0.4").contains("damaged"));
    }
}
