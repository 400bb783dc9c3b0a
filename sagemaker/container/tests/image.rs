//! The Dockerfile is about this repository: there is no Docker where the tests run. What the image holds is run without
//! it in `tests/elsewhere`.
#![allow(clippy::unwrap_used)]

use std::path::Path;

#[test]
fn the_image_is_built_of_what_is_here_and_runs_as_nobody() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("sagemaker/container/Dockerfile")).unwrap();
    let lines: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words| !words.is_empty())
        .collect();
    let all = |word: &str| lines.iter().filter(|words| words[0] == word).collect::<Vec<_>>();
    for copied in all("COPY").iter().filter(|words| !words[1].starts_with("--from")) {
        for source in &copied[1..copied.len() - 1] {
            assert!(root.join(source).exists(), "the Dockerfile copies `{source}`, which is not there");
        }
    }
    // Every member of the workspace is copied, or cargo would not find it.
    let members = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let members = members.lines().find(|line| line.starts_with("members")).unwrap().to_owned();
    for member in members.split('"').skip(1).step_by(2) {
        let folder = member.split('/').next().unwrap();
        assert!(all("COPY").iter().any(|words| words[1] == folder), "the Dockerfile does not copy `{folder}`");
    }
    let rust = all("FROM")[0][1].to_owned();
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = \"")).unwrap().trim_matches('"');
    assert_eq!(rust, format!("rust:{version}-trixie"));
    assert_eq!(all("FROM")[1][1], "scratch");
    let tested = std::fs::read_to_string(root.join("tests/elsewhere/requirements.txt")).unwrap();
    let runtime = tested.lines().find(|line| line.starts_with("onnxruntime==")).unwrap();
    assert!(text.contains(runtime), "the Dockerfile installs another ONNX Runtime than {runtime}");
    let user = all("USER")[0][1];
    assert!(user != "root" && !user.starts_with("0"), "{user}");
    let program = Path::new(env!("CARGO_BIN_EXE_algotrading-container")).file_name().unwrap().to_str().unwrap();
    assert_eq!(all("ENTRYPOINT")[0][1], format!("[\"/{program}\"]"));
}
