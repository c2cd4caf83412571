//! JSON Lines of streams: `stream` (its place among the inputs, from 0), `frame_id` (from 0), `timestamp_ms`,
//! and where networks run on a GPU `decode`, `gpu` or `host`; then the keys of the result or error as any other line has them. A result that was carried over says from which frame.

use super::stages::{Output, Tag};
use crate::error::Error;
use crate::result::json::{Schema, error_line, to_line};

/// Writes lines; remembers the last result of each stream.
pub(super) struct Lines<'a> {
    names: &'a [String],
    schema: Schema,
    /// Of each stream, the last frame with a result, and the body of its line.
    last: Vec<Option<(u64, String)>>,
}

impl<'a> Lines<'a> {
    pub fn new(names: &'a [String], schema: Schema) -> Self {
        Self { names, schema, last: vec![None; names.len()] }
    }

    /// The line of a frame, without a line feed. The frames of a stream must come in their order.
    pub fn line(&mut self, tag: &Tag, output: &Output) -> String {
        let (stream, name) = (tag.stream, &self.names[tag.stream]);
        let mut carried = String::new();
        let error_body = |name: &str, error: &Error| {
            tracing::error!("stream {stream}: {error}");
            error_line(name, tag.page_index, error)
        };
        let own;
        let body = match output {
            Output::Result(looked) => {
                let looked_at = (tag.moment.frame_id, to_line(&looked.result, self.schema));
                &self.last[stream].insert(looked_at).1
            }
            Output::Failed(name, error) => {
                own = error_body(name, error);
                &own
            }
            Output::SameAs(frame_id) => {
                carried = format!(r#""carried_over_from":{frame_id},"#);
                match &self.last[stream] {
                    Some((known, body)) if known == frame_id => body,
                    _ => {
                        own = error_body(name, &Error::internal("carry-over", format!("frame {frame_id} got no result")));
                        &own
                    }
                }
            }
        };
        let decode = tag.decode.map_or(String::new(), |by| format!(r#""decode":"{}","#, by.name()));
        let (moment, rest) = (tag.moment, body.strip_prefix('{').unwrap_or("}"));
        format!(r#"{{"stream":{stream},"frame_id":{},"timestamp_ms":{},{decode}{carried}{rest}"#, moment.frame_id, moment.timestamp_ms)
    }
}
