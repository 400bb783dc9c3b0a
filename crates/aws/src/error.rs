//! What a failure of the SDK means.
//!
//! The services name alike failures in many ways, so a code is read by the words in it before the HTTP status is: S3
//! says `SlowDown` with status 503, and DynamoDB `ThrottlingException` with 400.

use std::error::Error;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{DispatchFailure, SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use ports::Kind;

/// What kind of failure it is, and the words for it.
pub(crate) fn reading<E>(failure: &SdkError<E, HttpResponse>) -> (Kind, String)
where
    E: Error + ProvideErrorMetadata + 'static,
{
    match failure {
        SdkError::TimeoutError(_) => (Kind::TimedOut, String::new()),
        SdkError::DispatchFailure(dispatch) => not_sent(dispatch, &chain(failure)),
        // The answer ended early, or is not one that this version of the SDK knows.
        SdkError::ResponseError(_) => (Kind::Service, chain(failure)),
        SdkError::ServiceError(answer) => {
            let (code, status) = (answer.err().code().unwrap_or_default(), answer.raw().status().as_u16());
            let words = match (answer.err().message(), code) {
                (Some(message), _) if !message.trim().is_empty() => message.to_owned(),
                (_, "") => format!("HTTP status {status}"),
                (_, code) => code.to_owned(),
            };
            (kind_of(code, status), words)
        }
        _ => (if about_credentials(&chain(failure)) { Kind::Denied } else { Kind::Invalid }, chain(failure)),
    }
}

fn not_sent(dispatch: &DispatchFailure, words: &str) -> (Kind, String) {
    let kind = if dispatch.is_timeout() || words.contains("timed out") {
        Kind::TimedOut
    } else if about_credentials(words) && !dispatch.is_io() {
        // The place that hands out credentials may be back soon; that there is none stays so.
        if words.contains("occurred while loading") { Kind::Unreachable } else { Kind::Denied }
    } else if dispatch.is_user() || words.contains("Invalid Configuration") {
        // No region, an address that is none.
        Kind::Invalid
    } else {
        Kind::Unreachable
    };
    (kind, words.to_owned())
}

fn about_credentials(words: &str) -> bool {
    words.contains("credential") || words.contains("identity")
}

/// An error with all its causes; the SDK's own ones say little by themselves.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !words.ends_with(&text) {
            words = format!("{words}: {text}");
        }
        source = cause.source();
    }
    words
}

const THROTTLED: &[&str] =
    &["Throttl", "TooManyRequests", "LimitExceeded", "ThroughputExceeded", "SlowDown", "PriorRequestNotComplete"];
const DENIED: &[&str] = &[
    "AccessDenied",
    "Unauthorized",
    "NotAuthorized",
    "AuthorizationError",
    "AuthFailure",
    "ExpiredToken",
    "InvalidToken",
    "UnrecognizedClient",
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "MissingAuthenticationToken",
    "Signature",
    "OptInRequired",
];
const TIMED_OUT: &[&str] = &["Timeout", "TimedOut"];
const NOT_FOUND: &[&str] = &["NotFound", "NoSuch", "DoesNotExist"];
const CONFLICT: &[&str] = &[
    "Conflict",
    "ConditionalCheckFailed",
    "AlreadyExists",
    "ResourceInUse",
    "Running",
    "InvalidState",
    "PreconditionFailed",
    "IdempotentParameterMismatch",
];

/// By the words in the code, else by the status.
fn kind_of(code: &str, status: u16) -> Kind {
    let says = |words: &[&str]| words.iter().any(|word| code.contains(word));
    match status {
        _ if says(THROTTLED) => Kind::Throttled,
        _ if says(TIMED_OUT) => Kind::TimedOut,
        500.. => Kind::Service,
        _ if says(DENIED) => Kind::Denied,
        _ if says(NOT_FOUND) => Kind::NotFound,
        _ if says(CONFLICT) => Kind::Conflict,
        401 | 403 => Kind::Denied,
        404 => Kind::NotFound,
        409 | 412 => Kind::Conflict,
        408 => Kind::TimedOut,
        429 => Kind::Throttled,
        400..500 => Kind::Invalid,
        _ => Kind::Service,
    }
}

/// Turns "not accepted" into "not found" where the words say so: some services have one code for both.
pub(crate) fn by_words(mut error: ports::CallError) -> ports::CallError {
    let words = error.message.to_lowercase();
    let says =
        ["not found", "does not exist", "could not find", "unable to find"].iter().any(|text| words.contains(text));
    if error.kind == Kind::Invalid && says {
        error.kind = Kind::NotFound;
    }
    error
}

/// More of a message helps nobody.
const LONGEST: usize = 1000;

/// One line without secrets: a service that finds a signature wrong may answer with the whole signed request, the
/// session's token in it.
pub(crate) fn one_line(text: &str) -> String {
    let end = ["The Canonical String", "The String-to-Sign", "Authorization="]
        .iter()
        .filter_map(|start| text.find(start))
        .min()
        .unwrap_or(text.len());
    let mut line = String::new();
    for word in text[..end].split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(if is_secret(word) { "***" } else { word });
    }
    if line.len() > LONGEST {
        line.truncate(line.floor_char_boundary(LONGEST));
        line.push('…');
    }
    line
}

fn is_secret(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    let named = ["security-token", "signature=", "credential=", "secret_access_key", "secretaccesskey", "sessiontoken"];
    let id = |start: &str| {
        word.match_indices(start).any(|(at, _)| {
            word[at..].chars().take_while(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit()).count() >= 16
        })
    };
    named.iter().any(|name| lower.contains(name)) || id("AKIA") || id("ASIA")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_the_kind_and_else_the_status_does() {
        for (code, status, kind) in [
            ("ThrottlingException", 400, Kind::Throttled),
            ("SlowDown", 503, Kind::Throttled),
            ("ServiceLimitExceededException", 402, Kind::Throttled),
            ("ProvisionedThroughputExceededException", 400, Kind::Throttled),
            ("AccessDeniedException", 400, Kind::Denied),
            ("UnauthorizedOperation", 403, Kind::Denied),
            ("ExpiredTokenException", 400, Kind::Denied),
            ("UnrecognizedClientException", 400, Kind::Denied),
            ("InvalidSignatureException", 400, Kind::Denied),
            ("EntityNotFoundException", 400, Kind::NotFound),
            ("NoSuchKey", 404, Kind::NotFound),
            ("ClusterNotFoundException", 400, Kind::NotFound),
            ("ConditionalCheckFailedException", 400, Kind::Conflict),
            ("CrawlerRunningException", 400, Kind::Conflict),
            ("ConflictException", 409, Kind::Conflict),
            ("ValidationException", 400, Kind::Invalid),
            ("InvalidRequestException", 400, Kind::Invalid),
            ("InvalidParameter", 400, Kind::Invalid),
            ("RequestTimeout", 400, Kind::TimedOut),
            ("InternalServerException", 500, Kind::Service),
            ("ResourceNotFoundException", 503, Kind::Service),
            ("", 403, Kind::Denied),
            ("", 404, Kind::NotFound),
            ("", 429, Kind::Throttled),
            ("", 418, Kind::Invalid),
            ("", 502, Kind::Service),
            ("", 302, Kind::Service),
        ] {
            assert_eq!(kind_of(code, status), kind, "{code} {status}");
        }
    }

    #[test]
    fn messages_are_one_short_line_without_secrets() {
        assert_eq!(one_line(" a\n  b\tc "), "a b c");
        let echoed = "The request signature we calculated does not match. The Canonical String for this request should \
                      have been 'POST\n/\n\nx-amz-security-token:IQoJtoken\n'";
        assert_eq!(one_line(echoed), "The request signature we calculated does not match.");
        assert_eq!(one_line("key AKIAIOSFODNN7EXAMPLE is off"), "key *** is off");
        assert_eq!(one_line("x-amz-security-token:abc rest"), "*** rest");
        assert_eq!(one_line("tokens of ASIA are text"), "tokens of ASIA are text");
        let long = one_line(&"é".repeat(LONGEST));
        assert!(long.len() <= LONGEST + '…'.len_utf8() && long.ends_with('…'));
    }
}
