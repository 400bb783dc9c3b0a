//! The JSON of XGBoost's `save_model("model.json")`.

use serde::Deserialize;
use serde_json::Value;

use super::{Link, Missing, Next, Node, Tree, Trees, bad};
use crate::card::ModelError;

#[derive(Deserialize)]
struct File {
    learner: Learner,
}

#[derive(Deserialize)]
struct Learner {
    #[serde(default)]
    attributes: Attributes,
    gradient_booster: Value,
    learner_model_param: Parameters,
    objective: Objective,
}

#[derive(Deserialize, Default)]
struct Attributes {
    best_iteration: Option<String>,
}

#[derive(Deserialize)]
struct Parameters {
    base_score: String,
    num_class: String,
    num_feature: String,
}

#[derive(Deserialize)]
struct Objective {
    name: String,
}

#[derive(Deserialize)]
struct Booster {
    model: Forest,
}

#[derive(Deserialize)]
struct Forest {
    trees: Vec<Lists>,
    tree_info: Vec<usize>,
    #[serde(default)]
    iteration_indptr: Vec<usize>,
}

#[derive(Deserialize)]
struct Lists {
    left_children: Vec<i64>,
    right_children: Vec<i64>,
    split_indices: Vec<usize>,
    split_conditions: Vec<f32>,
    default_left: Vec<Value>,
    #[serde(default)]
    split_type: Vec<i64>,
}

/// Reads a model.
///
/// # Errors
/// Not one, not a classifier, or one that uses what is not read here.
pub fn read(text: &str) -> Result<Trees, ModelError> {
    let File { learner } = match serde_json::from_str(text) {
        Ok(file) => file,
        Err(error) => return bad(format!("it is not the JSON of an XGBoost model: {error}")),
    };
    let Learner { attributes, gradient_booster, learner_model_param: parameters, objective } = learner;
    let kind = gradient_booster.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    if kind != "gbtree" {
        return bad(format!("its booster is `{kind}`; train with booster=\"gbtree\""));
    }
    let forest = match serde_json::from_value::<Booster>(gradient_booster) {
        Ok(booster) => booster.model,
        Err(error) => return bad(format!("the trees of the XGBoost model cannot be read: {error}")),
    };
    let count = |name: &str, text: &str| match text.parse::<usize>() {
        Ok(number) => Ok(number),
        Err(_) => bad(format!("the XGBoost model has no number `{name}`")),
    };
    let features = count("num_feature", &parameters.num_feature)?;
    let classes = count("num_class", &parameters.num_class)?.max(1);
    if classes > 1_000 {
        return bad(format!("it has {classes} classes"));
    }
    let base = base(&parameters.base_score, classes)?;
    let (link, start) = match objective.name.as_str() {
        // The score that everything starts from is stored as a probability.
        "binary:logistic" => {
            (Link::Sigmoid(1.0), base.iter().map(|p| f64::from(-(1.0 / *p as f32 - 1.0).ln())).collect())
        }
        "multi:softprob" | "multi:softmax" => (Link::Softmax, base),
        name => {
            return bad(format!("its objective is `{name}`; train a classifier (binary:logistic or multi:softprob)"));
        }
    };
    // What came after the best round is not used, as XGBoost's own classifier does not.
    let best = attributes.best_iteration.as_deref().and_then(|text| text.parse::<usize>().ok());
    let used = match best {
        Some(best) => forest.iteration_indptr.get(best + 1).copied().unwrap_or(forest.trees.len()),
        None => forest.trees.len(),
    };
    if forest.tree_info.len() != forest.trees.len() || forest.tree_info.iter().any(|of| *of >= classes) {
        return bad("the trees of the XGBoost model do not belong to its classes");
    }
    let mut trees = Vec::new();
    for (at, (lists, of)) in forest.trees.iter().zip(forest.tree_info).take(used).enumerate() {
        match tree(lists)?.and_then(|tree| tree.checked(features)) {
            Some(tree) => trees.push((of, tree)),
            None => return bad(format!("tree {at} of the XGBoost model is damaged")),
        }
    }
    if trees.is_empty() {
        return bad("the XGBoost model has no tree");
    }
    Ok(Trees { features, start, trees, link, single: true, rounds: 1.0 })
}

/// `5E-1`, or since version 3.1 a list of as many numbers as there are classes.
fn base(text: &str, classes: usize) -> Result<Vec<f64>, ModelError> {
    let numbers = text.trim().trim_start_matches('[').trim_end_matches(']').split(',');
    let numbers: Result<Vec<f64>, _> = numbers.map(|number| number.trim().parse::<f32>().map(f64::from)).collect();
    match numbers {
        Ok(numbers) if numbers.len() == classes => Ok(numbers),
        Ok(numbers) if numbers.len() == 1 => Ok(vec![numbers[0]; classes]),
        _ => bad(format!("the XGBoost model's base_score is `{text}`")),
    }
}

/// Nothing when the lists do not fit together.
fn tree(lists: &Lists) -> Result<Option<Tree>, ModelError> {
    let count = lists.left_children.len();
    let lengths =
        [lists.right_children.len(), lists.split_indices.len(), lists.split_conditions.len(), lists.default_left.len()];
    if count == 0 || lengths.iter().any(|length| *length != count) {
        return Ok(None);
    }
    if lists.split_type.iter().any(|kind| *kind != 0) {
        return bad("it splits on categories; the features are numbers: train with enable_categorical=False");
    }
    let next = |child: i64| {
        let at = usize::try_from(child).ok().filter(|at| *at < count)?;
        // A node without children is a leaf; its value stands where a threshold would.
        let leaf = lists.left_children[at] < 0;
        Some(if leaf { Next::Leaf(f64::from(lists.split_conditions[at])) } else { Next::Node(at) })
    };
    let Some(root) = next(0) else { return Ok(None) };
    let mut nodes = Vec::with_capacity(count);
    for at in 0..count {
        let leaf = lists.left_children[at] < 0;
        // A leaf keeps its place in the list, and is never gone through.
        let children = if leaf {
            Some((Next::Leaf(0.0), Next::Leaf(0.0)))
        } else {
            next(lists.left_children[at]).zip(next(lists.right_children[at]))
        };
        let Some((left, right)) = children else { return Ok(None) };
        nodes.push(Node {
            feature: if leaf { 0 } else { lists.split_indices[at] },
            threshold: f64::from(lists.split_conditions[at]),
            equal_left: false,
            missing: Missing::NotANumber,
            default_left: matches!(&lists.default_left[at], Value::Bool(true)) || lists.default_left[at] == 1,
            left,
            right,
        });
    }
    Ok(Some(Tree { root, nodes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = r#"{"learner": {"attributes": {}, "feature_names": [], "gradient_booster": {"model": {
        "gbtree_model_param": {"num_trees": "1"}, "iteration_indptr": [0, 1], "tree_info": [0], "trees": [{
        "left_children": [1, -1, -1], "right_children": [2, -1, -1], "split_indices": [1, 0, 0],
        "split_conditions": [0.5, 0.25, -0.75], "default_left": [1, 0, 0], "split_type": [0, 0, 0]}]},
        "name": "gbtree"}, "learner_model_param": {"base_score": "2.5E-1", "num_class": "0", "num_feature": "2"},
        "objective": {"name": "binary:logistic"}}, "version": [3, 0, 0]}"#;

    fn says(trees: &Trees, row: &[f32]) -> f32 {
        let mut out = Vec::new();
        trees.predict(row, &mut out);
        assert_eq!(out.len(), 1);
        out[0]
    }

    #[test]
    fn a_row_falls_to_its_leaf() {
        let trees = read(MODEL).unwrap();
        let sigmoid = |sum: f64| (1.0 / (1.0 + (-sum).exp())) as f32;
        let base = (1.0_f64 / 3.0).ln();
        let close = |a: f32, b: f32| assert!((a - b).abs() < 1e-6, "{a} {b}");
        close(says(&trees, &[9.0, 0.4]), sigmoid(base + 0.25));
        close(says(&trees, &[9.0, 0.5]), sigmoid(base - 0.75));
        close(says(&trees, &[9.0, f32::NAN]), sigmoid(base + 0.25));
    }

    #[test]
    fn what_is_not_read_here_is_told() {
        let said = |from: &str, to: &str| read(&MODEL.replace(from, to)).unwrap_err().to_string();
        assert!(read("{L").unwrap_err().to_string().contains("not the JSON of an XGBoost model"));
        assert!(said("binary:logistic", "reg:squarederror").contains("train a classifier"));
        assert!(said("\"name\": \"gbtree\"", "\"name\": \"dart\"").contains("booster=\"gbtree\""));
        assert!(said("\"split_type\": [0", "\"split_type\": [1").contains("enable_categorical=False"));
        assert!(
            said("[1, -1, -1], \"right", "[0, -1, -1], \"right").contains("tree 0 of the XGBoost model is damaged")
        );
        assert!(said("[1, -1, -1], \"right", "[7, -1, -1], \"right").contains("damaged"));
        assert!(said("\"split_indices\": [1", "\"split_indices\": [5").contains("damaged"));
        assert!(said("[0.5, 0.25, -0.75]", "[0.5, 0.25]").contains("damaged"));
        assert!(said("2.5E-1", "x").contains("base_score"));
        assert!(said("\"tree_info\": [0]", "\"tree_info\": [3]").contains("do not belong to its classes"));
    }
}
