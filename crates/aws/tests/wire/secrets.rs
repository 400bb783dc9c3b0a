use ports::Kind;
use ports::secrets::Secrets;
use serde_json::json as value;

use crate::common::{Wire, json, refused};

#[test]
fn a_secret_is_read_by_name_and_printed_by_nobody() {
    let text = r#"{"key_id":"PK1","secret_key":"hush"}"#;
    let wire = Wire::new([json(value!({ "Name": "broker", "SecretString": text }))]);
    let secret = wire.aws.secrets().secret("broker").unwrap();
    assert_eq!(secret.fields().unwrap()["secret_key"].expose(), "hush");
    assert!(!format!("{secret:?} {:?}", secret.fields()).contains("hush"));
    assert_eq!(wire.bodies(".GetSecretValue")[0], value!({ "SecretId": "broker" }));
}

#[test]
fn a_secret_that_is_missing_denied_or_bytes_says_so_without_a_word_of_it() {
    let cases = [
        (refused(400, "ResourceNotFoundException", "Secrets Manager can't find it"), Kind::NotFound),
        (refused(400, "AccessDeniedException", "no policy allows it"), Kind::Denied),
        (json(value!({ "Name": "broker", "SecretBinary": "aHVzaA==" })), Kind::Invalid),
    ];
    for (answer, kind) in cases {
        let wire = Wire::new([answer]);
        let error = wire.aws.secrets().secret("broker").unwrap_err();
        assert_eq!((error.kind, error.resource.as_str()), (kind, "`broker`"), "{error}");
        assert!(!format!("{error:?}").contains("hush"));
    }
}
