//! JSON Lines of streams: `stream` (from 0, in the order of the inputs), `frame_id` (from 0), `timestamp_ms`,
//! and where networks run on a GPU `decode`, `gpu` or `host`; then the keys of the result or error as any other line has them. A result that was carried over says from which frame.

use super::stages::{Output, Tag};
use crate::error::Error;
use crate::result::PipelineResult;
use crate::result::json::{Schema, error_line, to_line};
use crate::source::video::Moment;

/// Writes lines; remembers the last result of each stream.
pub(super) struct Lines {
    schema: Schema,
    /// Of each stream, the last frame with a result, and the result.
    last: Vec<Option<(u64, PipelineResult)>>,
}

impl Lines {
    /// Of so many streams.
    pub fn new(streams: usize, schema: Schema) -> Self {
        Self { schema, last: vec![None; streams] }
    }

    /// The line of a frame, without a line feed, and what is to be told of it; an end has none. The frames of a stream must come in their
    /// order.
    pub fn line(&mut self, tag: &Tag, output: Output) -> Option<(String, Option<String>)> {
        let stream = tag.stream;
        let (mut carried, mut told) = (String::new(), None);
        let mut error_body = |name: &str, error: &Error| {
            told = Some(format!("stream {stream}: {error}"));
            error_line(name, tag.page_index, error)
        };
        let body = match output {
            Output::Result(looked) => to_line(&self.last[stream].insert((tag.moment.frame_id, looked.result)).1, self.schema),
            Output::Failed(name, error) => error_body(&name, &error),
            Output::SameAs(name, frame_id) => {
                carried = format!(r#""carried_over_from":{frame_id},"#);
                match &mut self.last[stream] {
                    Some((known, result)) if *known == frame_id => {
                        let header = result.header_mut();
                        (header.input_path, header.page_index) = (Some(name), tag.page_index);
                        to_line(result, self.schema)
                    }
                    _ => error_body(&name, &Error::internal("carry-over", format!("frame {frame_id} got no result"))),
                }
            }
            Output::Ended => return None,
        };
        let decode = tag.decode.map_or(String::new(), |by| format!(r#""decode":"{}","#, by.name()));
        let (moment, rest) = (tag.moment, body.strip_prefix('{').unwrap_or("}"));
        let Moment { frame_id, timestamp_ms } = moment;
        Some((format!(r#"{{"stream":{stream},"frame_id":{frame_id},"timestamp_ms":{timestamp_ms},{decode}{carried}{rest}"#), told))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::stream::stages::Looked;
    use crate::result::OcrResult;
    use crate::source::video::Moment;
    use crate::trace::StageTimes;
    use serde_json::{Value, json};

    #[test]
    fn what_is_carried_over_is_of_its_own_page() {
        let mut lines = Lines::new(1, Schema::default());
        let mut line = |frame_id, page_index, output| -> Value {
            let moment = Moment { frame_id, timestamp_ms: 0.0 };
            let (line, _) = lines.line(&Tag { stream: 0, moment, page_index, decode: None }, output).expect("of a frame");
            serde_json::from_str(&line).expect("JSON")
        };
        let result = OcrResult { rec_text: vec!["text".into()], ..OcrResult::default() }.into();
        line(0, None, Output::Result(Looked { result, times: StageTimes::default(), drawn: None }.into()));
        for (frame_id, page) in [(1, 2), (2, 3)] {
            let carried = line(frame_id, Some(page), Output::SameAs("b.pdf".into(), 0));
            assert_eq!((&carried["input_path"], &carried["page_index"]), (&json!("b.pdf"), &json!(page)));
            assert_eq!((&carried["carried_over_from"], &carried["rec_text"]), (&json!(0), &json!(["text"])));
        }
    }
}
