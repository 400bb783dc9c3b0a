//! Words to people over an SNS topic.

use aws_config::SdkConfig;
use aws_sdk_sns::Client;
use ports::Answer;
use ports::notices::Notices;

use crate::calls::Calls;

/// Words to who listens to a topic.
#[derive(Debug, Clone)]
pub struct Sns {
    client: Client,
    calls: Calls,
    topic_arn: String,
}

impl Sns {
    pub(crate) fn new(config: &SdkConfig, calls: Calls, topic_arn: &str) -> Self {
        Self { client: Client::new(config), calls, topic_arn: topic_arn.into() }
    }
}

/// The most characters of a subject.
const SUBJECT: usize = 100;
/// The most bytes of a message.
const MESSAGE: usize = 256 * 1024;
/// What stands where a message was cut.
const CUT: &str = "\n(cut)";

/// One line of ASCII that the service takes: words with one space between, `?` for other characters.
fn subject_line(subject: &str) -> String {
    let words = subject.split(|letter: char| letter.is_whitespace() || letter.is_control());
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let ascii = line.chars().map(|letter| match letter {
        '–' | '—' | '−' => '-',
        '‘' | '’' => '\'',
        '“' | '”' => '"',
        letter if letter.is_ascii() => letter,
        _ => '?',
    });
    ascii.take(SUBJECT).collect::<String>().trim_end().to_owned()
}

fn message(text: &str) -> String {
    if text.len() <= MESSAGE {
        return text.to_owned();
    }
    format!("{}{CUT}", &text[..text.floor_char_boundary(MESSAGE - CUT.len())])
}

impl Notices for Sns {
    fn publish(&self, subject: &str, text: &str) -> Answer<()> {
        let subject = subject_line(subject);
        // An empty message is refused, an empty subject too.
        let text = match (text.trim().is_empty(), subject.is_empty()) {
            (false, _) => message(text),
            (true, false) => subject.clone(),
            (true, true) => "(nothing)".to_owned(),
        };
        let request = self
            .client
            .publish()
            .topic_arn(&self.topic_arn)
            .set_subject((!subject.is_empty()).then_some(subject))
            .message(text);
        self.calls.ask("Publish", &self.topic_arn, request.send()).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_one_short_line_of_ascii() {
        assert_eq!(subject_line("  a\nb\t\u{7}c — déjà  "), "a b c - d?j?");
        assert_eq!(subject_line(&"é".repeat(300)), "?".repeat(100));
        assert_eq!(subject_line(&format!("{} b", "a".repeat(99))), "a".repeat(99));
        assert_eq!(subject_line("\n"), "");
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let long = message(&"é".repeat(MESSAGE));
        assert!(long.len() <= MESSAGE && long.len() > MESSAGE - 8, "{}", long.len());
        assert!(long.ends_with("é\n(cut)"));
        assert_eq!(message("é"), "é");
    }
}
