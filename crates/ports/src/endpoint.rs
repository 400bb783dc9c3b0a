//! A model behind an address. On AWS: a SageMaker endpoint.

use crate::Answer;

/// A model that answers.
pub trait Endpoint {
    /// Sends a body of a content type and gives the answer's body; both types are the same.
    ///
    /// # Errors
    /// The endpoint or the model behind it fails; [`crate::Kind::Invalid`] when the model refuses the body.
    fn invoke(&self, content_type: &str, body: Vec<u8>) -> Answer<Vec<u8>>;
}
