//! What was named as input, as feeds of the graph.

use super::decoding::{Decoders, Decoding};
use super::stages::{DecodedBy, FrameStages, Output, Picture, Tag};
use crate::cache::without_secrets;
use crate::error::{Error, Result};
use crate::schedule::graph::{Feed, Offer};
use crate::schedule::stop::GLANCE;
use crate::schedule::{DropPolicy, WhenFull};
use crate::source::video::{Moment, RawFrames, RawLayout, Video, VideoEvent, VideoKind, VideoOptions, has_video_suffix, names_video};
use crate::source::{InputItem, InputKind, STANDARD_INPUT, Source, SourceOptions, has_picture_suffix, matched};
use crossbeam::channel::{self, Receiver, Sender};
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The streams that `inputs` are: of a pattern that matches videos each of these, and one of all pictures and folders that it matches as
/// well; of whatever else each one.
pub(super) fn streams(inputs: &[String]) -> Vec<String> {
    let of_input = |input: &String| {
        let found = found_by(input);
        let videos: Vec<_> = found.iter().filter(|path| has_video_suffix(path)).map(|path| file_name(path)).collect();
        let is_one = videos.is_empty() || found.iter().any(|path| holds_pictures(path));
        videos.into_iter().chain(is_one.then(|| input.clone()))
    };
    inputs.iter().flat_map(of_input).collect()
}

/// What `input` matches where it is a pattern.
fn found_by(input: &str) -> Vec<PathBuf> {
    if input.contains("://") { Vec::new() } else { matched(input) }
}

fn holds_pictures(path: &Path) -> bool {
    path.is_dir() || has_picture_suffix(path)
}

/// `path`, told from what is no file.
fn file_name(path: &Path) -> String {
    if path.to_str().is_none() {
        tracing::warn!("{}: the name is not UTF-8, and no stream can have it: give the file another one", path.display());
    }
    let name = path.to_string_lossy();
    if VideoKind::of(&name) == VideoKind::File || path.is_absolute() { name.into_owned() } else { format!("./{name}") }
}

/// Which of the items of `pattern` belong to its stream of pictures: where it matches some, these alone.
fn pictures_of(pattern: &str) -> impl Fn(&InputItem) -> bool + Send + use<> {
    let has_pictures = found_by(pattern).iter().any(|path| holds_pictures(path));
    move |item| {
        let InputKind::File(path) = &item.kind else { return true };
        let is_one = !has_pictures || has_picture_suffix(path);
        if !is_one && !has_video_suffix(path) {
            tracing::warn!("{}: left out: by its name it is no picture and no video", item.name);
        }
        is_one
    }
}

/// A place of those that files are read at, given back when it is dropped.
struct Place(Sender<()>);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

/// `offers`, begun once `free` has a place for them; none where `stop` is set before.
fn in_turn<'a, T: 'a>(
    (free_in, free): (Sender<()>, Receiver<()>),
    stop: Arc<AtomicBool>,
    offers: impl Iterator<Item = T> + Send + 'a,
) -> impl Iterator<Item = T> + Send + 'a {
    let begun = move || {
        while free.recv_timeout(GLANCE).is_err() {
            if stop.load(Ordering::SeqCst) {
                return None;
            }
        }
        let place = Place(free_in);
        Some(offers.inspect(move |_| {
            let _held = &place;
        }))
    };
    iter::once_with(begun).flatten().flatten()
}

enum Kind {
    Video,
    Raw(RawLayout),
    Pictures,
}

/// Checked inputs.
pub(super) struct Inputs {
    inputs: Vec<(String, Kind, DropPolicy)>,
    video: VideoOptions,
    source: SourceOptions,
    rate: f64,
    decoding: Decoding,
}

impl Inputs {
    /// Checks what can be checked before anything starts: names, policies, and ffmpeg where something needs it.
    pub fn new(
        names: &[String],
        drop: Option<&str>,
        video: VideoOptions,
        raw: Option<RawLayout>,
        rate: f64,
        decoding: Decoding,
        source: SourceOptions,
    ) -> Result<Self> {
        let mut inputs: Vec<(String, Kind, DropPolicy)> = Vec::new();
        for name in names {
            let kind = kind(name, raw)?;
            if source.offline && name.contains("://") && !name.starts_with("file://") {
                return Err(Error::config("--input", format!("{}: not reached: --offline is set", without_secrets(name))));
            }
            if name == STANDARD_INPUT && inputs.iter().any(|(earlier, ..)| earlier == name) {
                return Err(Error::config("--input", "standard input is named twice and can be read once"));
            }
            let live = matches!(kind, Kind::Video) && VideoKind::of(name).is_live();
            let policy = if live { DropPolicy::LATEST } else { DropPolicy::BLOCK };
            let parse = |text| DropPolicy::parse(text, if live { WhenFull::DropOldest } else { WhenFull::Wait });
            let policy = drop.map_or(Ok(policy), parse).map_err(|reason| Error::config("--drop", reason))?;
            inputs.push((name.clone(), kind, policy));
        }
        let is_there = |name: &String| name == STANDARD_INPUT || name.contains(['*', '?', '[', ':']) || Path::new(name).exists();
        if let Some(name) = names.first().filter(|_| !names.iter().any(is_there)) {
            return Err(Error::config("--input", format!("{name}: no such file or folder")));
        }
        if inputs.iter().any(|(_, kind, _)| matches!(kind, Kind::Video)) {
            let version = video.ffmpeg_version()?;
            tracing::info!("decode: {}, by {version}", decoding.videos);
        }
        Ok(Self { inputs, video, source, rate, decoding })
    }

    /// Whether some of them have an end.
    pub fn is_finite(&self) -> bool {
        self.inputs.iter().any(|(name, kind, _)| !matches!(kind, Kind::Video) || !VideoKind::of(name).is_live())
    }

    /// Whether some of them drop what is old, so that nothing should wait behind their queues.
    pub fn drop_oldest(&self) -> bool {
        self.inputs.iter().any(|(_, _, policy)| policy.when_full == WhenFull::DropOldest)
    }

    /// Videos that are read at the same time, `at_once` of the files that are not among those `typed`; and what each of them, or a pipe
    /// beside them, has to work with.
    pub fn side_by_side(&self, typed: &[String], at_once: usize) -> (usize, VideoOptions) {
        let videos = self.inputs.iter().filter(|(_, kind, _)| matches!(kind, Kind::Video));
        let (named, found): (Vec<_>, Vec<_>) = videos.partition(|(name, ..)| is_named(name, typed));
        let videos = named.len() + found.len().min(at_once);
        let pipes = self.inputs.iter().filter(|(_, kind, _)| matches!(kind, Kind::Raw(_))).count();
        (videos, self.video.shared_by(videos + pipes))
    }

    /// One feed an input. Of the files that are not among those `typed`, `at_once` are read at a time.
    pub fn feeds<'a>(self, typed: &[String], at_once: usize) -> Vec<Feed<'a, FrameStages<'a>>> {
        let (_, mut each) = self.side_by_side(typed, at_once);
        let Self { inputs, source, rate, decoding: Decoding { gpus, videos, .. }, .. } = self;
        each.gpu_only = videos == Decoders::GpuOnly;
        let places = channel::bounded(at_once);
        (0..at_once).for_each(|_| drop(Place(places.0.clone())));
        let feed = |(stream, (name, kind, policy)): (usize, (String, Kind, DropPolicy))| {
            let on_gpu = !gpus.is_empty();
            // Where it turns out otherwise the tag is set when the frame is there.
            let tag = move |moment| Tag { stream, moment, page_index: None, decode: on_gpu.then_some(DecodedBy::Host) };
            let source_name = without_secrets(&name);
            let event = move |event| match event {
                VideoEvent::Frame(moment, image) => Offer::Item(tag(moment), Picture::Pixels(image)),
                VideoEvent::Dropped(moment) => Offer::Dropped(tag(moment)),
                VideoEvent::Fault(moment, error) => {
                    Offer::Output(Tag { stream, moment, page_index: None, decode: None }, Output::Failed(source_name.clone(), error))
                }
            };
            // Streams are dealt out to the GPUs, and each frame is worked on where it was decoded.
            let gpu = gpus.get(stream % gpus.len().max(1)).filter(|_| videos != Decoders::Host).cloned();
            let VideoOptions { memory, .. } = each.shared_by(1);
            let memory = memory.map(|memory| if policy.when_full == WhenFull::DropOldest { memory.dropping() } else { memory });
            let offers: Box<dyn Iterator<Item = _> + Send> = match kind {
                Kind::Video => {
                    let offers = Video::new(&name, VideoOptions { gpu, memory, ..each.clone() }).map(event);
                    match is_named(&name, typed) {
                        true => Box::new(offers),
                        false => Box::new(in_turn(places.clone(), each.stop.clone(), offers)),
                    }
                }
                Kind::Raw(layout) => Box::new(RawFrames::new(&name, std::io::stdin(), layout, each.stop.clone(), memory).map(event)),
                Kind::Pictures => {
                    Box::new((0u64..).zip(Source::new(&[&name], source.clone()).filter(pictures_of(&name))).map(move |(frame_id, item)| {
                        let moment = Moment { frame_id, timestamp_ms: frame_id as f64 * 1e3 / rate };
                        let tag = Tag { page_index: item.page_index(), ..tag(moment) };
                        Offer::Item(tag, Picture::Item(item))
                    }))
                }
            };
            let end = Tag { stream, moment: Moment::default(), page_index: None, decode: None };
            Feed { offers: Box::new(offers.chain(iter::once_with(move || Offer::Output(end, Output::Ended)))), policy }
        };
        inputs.into_iter().enumerate().map(feed).collect()
    }
}

/// Whether the video `name` is one of those `typed`, and not found by a pattern.
fn is_named(name: &String, typed: &[String]) -> bool {
    typed.contains(name) || !Path::new(name).is_file()
}

/// Whether `name` may have JPEG files among its pictures: a folder or a pattern may, and a file that is not called something else.
pub(super) fn may_hold_jpeg(name: &str) -> bool {
    let path = Path::new(name);
    let suffix = path.extension().and_then(|suffix| suffix.to_str()).unwrap_or_default().to_ascii_lowercase();
    let other = !path.is_dir() && has_picture_suffix(path) && !["jpg", "jpeg"].contains(&&*suffix);
    matches!(kind(name, None), Ok(Kind::Pictures)) && !other
}

/// Whether `name` is a video or stream.
pub(super) fn is_video(name: &str) -> bool {
    matches!(kind(name, None), Ok(Kind::Video))
}

fn kind(name: &str, raw: Option<RawLayout>) -> Result<Kind> {
    if name == STANDARD_INPUT {
        let reason = "raw frames on standard input have no size of their own; give --raw-size WxH (and --raw-format)";
        return raw.map(Kind::Raw).ok_or_else(|| Error::config("--input -", reason));
    }
    let path = Path::new(name);
    if VideoKind::of(name) != VideoKind::File || name.starts_with("file://") {
        return Ok(Kind::Video);
    }
    // What is not there is a picture that fails, beside others that go on.
    Ok(if path.exists() && names_video(path) { Kind::Video } else { Kind::Pictures })
}
