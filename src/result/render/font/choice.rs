//! Which fonts a picture gets. The choice depends on the characters of that picture alone, never on earlier
//! pictures. Nothing is read or searched before the first text is drawn, except a font file the user named.

use super::{Face, FontStack, has_ink, visible_glyph};
use crate::error::Result;
use ab_glyph::FontRef;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};

/// Brings Noto Sans SC, or a font with its characters, onto this machine and says where it is.
pub type InstallFont = Box<dyn Fn() -> Result<PathBuf> + Send + Sync>;

/// Sans-serif families with Chinese glyphs in simplified forms, best first; then families for other pages.
const PREFERRED: [&str; 20] = [
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "PingFang SC",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "SimHei",
    "Droid Sans Fallback",
    "Noto Sans CJK TC",
    "Noto Sans CJK JP",
    "Noto Sans CJK KR",
    "Noto Serif CJK SC",
    "Source Han Serif SC",
    "Noto Sans",
    "DejaVu Sans",
    "Liberation Sans",
    "Arial",
];

/// Families whose glyphs stand for characters without showing them.
const PLACEHOLDERS: [&str; 3] = ["LastResort", "Last Resort", "Adobe Blank"];

/// More faces than this on one picture mean that its texts are noise.
const MAX_FACES: usize = 6;

/// Where glyphs come from. One value serves a whole run, from any thread.
pub struct Fonts {
    named: Option<Arc<Face>>,
    folders: Option<Vec<PathBuf>>,
    install: Option<InstallFont>,
    system: OnceLock<System>,
    installed: OnceLock<Option<Arc<Face>>>,
    loaded: Mutex<HashMap<fontdb::ID, Option<Arc<Face>>>>,
    hopeless: Mutex<BTreeSet<char>>,
    warned: Once,
}

struct System {
    faces: fontdb::Database,
    ranked: Vec<fontdb::ID>,
}

impl Fonts {
    /// Fonts of a run. `named` is the file of `--font`, read at once (the first face of a collection); an error
    /// when it cannot be read or is no font.
    pub fn new(named: Option<&Path>) -> Result<Self> {
        let named = named.map(|path| Face::from_file(path, 0).map(Arc::new)).transpose()?;
        Ok(Self {
            named,
            folders: None,
            install: None,
            system: OnceLock::new(),
            installed: OnceLock::new(),
            loaded: Mutex::default(),
            hopeless: Mutex::default(),
            warned: Once::new(),
        })
    }

    /// How to get a font with the glyphs of Chinese texts. Called at most once, and only for characters that it should
    /// have and no system font has; never when the user named a font.
    pub fn with_installer(mut self, install: InstallFont) -> Self {
        self.install = Some(install);
        self
    }

    /// Searches these folders instead of the system's font folders.
    pub fn with_folders(mut self, folders: Vec<PathBuf>) -> Self {
        self.folders = Some(folders);
        self
    }

    /// Faces for the characters of `texts`: the user's font first, then the best system face that has all that is
    /// still missing, else the installed font, else as many faces as it takes. Characters without any glyph are
    /// reported once per run, as a warning.
    pub fn stack_for<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> FontStack {
        let wanted: BTreeSet<char> = texts.into_iter().flat_map(str::chars).filter(|c| has_ink(*c)).collect();
        let mut missing = &wanted - &lock(&self.hopeless);
        let mut stack = FontStack::default();
        if let Some(face) = &self.named {
            stack.push(face.clone(), &mut missing);
            self.warn_once(missing.iter(), |lacking| format!("{} has no glyphs for {lacking}; other fonts are asked", face.path.display()));
        }
        while !missing.is_empty() && stack.faces.len() < MAX_FACES {
            let Some(face) = self.best(&missing) else { break };
            stack.push(face, &mut missing);
        }
        if stack.faces.len() < MAX_FACES {
            lock(&self.hopeless).extend(&missing);
        }
        let outcome = if stack.is_empty() { "boxes are drawn without text" } else { "a sign stands in their place" };
        self.warn_once(wanted.iter().filter(|c| stack.glyph(**c).is_none()), |lacking| {
            format!("no font has glyphs for {lacking}: {outcome}; --font takes a font file")
        });
        stack
    }

    fn warn_once<'a>(&self, lacking: impl Iterator<Item = &'a char>, message: impl FnOnce(String) -> String) {
        let some: String = lacking.take(20).collect();
        if !some.is_empty() {
            self.warned.call_once(|| tracing::warn!("{}", message(format!("{some:?}"))));
        }
    }

    /// The face with the most of `missing`; the installed font is weighed when it should have what no system face has.
    fn best(&self, missing: &BTreeSet<char>) -> Option<Arc<Face>> {
        let from_system = self.best_of_system(missing);
        let count = |face: &Face| missing.iter().filter(|c| visible_glyph(&face.font, **c).is_some()).count();
        let lacks = |c: &char| from_system.as_ref().is_none_or(|face| visible_glyph(&face.font, *c).is_none());
        if self.named.is_none()
            && missing.iter().any(|c| lacks(c) && bundled_has(*c))
            && let Some(installed) = self.installed.get_or_init(|| self.run_installer())
            && count(installed) > from_system.as_deref().map_or(0, count)
        {
            return Some(installed.clone());
        }
        from_system
    }

    fn run_installer(&self) -> Option<Arc<Face>> {
        let face = self.install.as_ref()?().and_then(|path| Face::from_file(&path, 0));
        face.map(Arc::new).inspect_err(|error| tracing::warn!("the font for pictures could not be installed: {error}")).ok()
    }

    /// The first face that has all of `missing`, else the first that has nearly as many as any.
    fn best_of_system(&self, missing: &BTreeSet<char>) -> Option<Arc<Face>> {
        let system = self.system.get_or_init(|| System::scan(self.folders.as_deref()));
        let mut counts: Vec<(usize, fontdb::ID)> = Vec::new();
        for &id in &system.ranked {
            let count = system.count(id, missing);
            if count == missing.len()
                && let Some(face) = self.load(system, id)
            {
                return Some(face);
            }
            counts.push((count, id));
        }
        let most = counts.iter().map(|(count, _)| *count).max()?;
        let mut good = counts.into_iter().filter(|(count, _)| *count > 0 && count * 10 >= most * 9);
        good.find_map(|(_, id)| self.load(system, id))
    }

    /// Reads a face once; one that cannot be read counts as absent.
    fn load(&self, system: &System, id: fontdb::ID) -> Option<Arc<Face>> {
        let read = || {
            let (source, index) = system.faces.face_source(id)?;
            let fontdb::Source::File(path) = source else { return None };
            tracing::debug!("drawing text with {} (face {index})", path.display());
            Face::from_file(&path, index).map(Arc::new).ok()
        };
        lock(&self.loaded).entry(id).or_insert_with(read).clone()
    }
}

impl System {
    fn scan(folders: Option<&[PathBuf]>) -> Self {
        let mut faces = fontdb::Database::new();
        match folders {
            Some(folders) => folders.iter().for_each(|folder| faces.load_fonts_dir(folder)),
            None => faces.load_system_fonts(),
        }
        let mut ranked: Vec<_> = faces.faces().filter(|face| !is(face, &PLACEHOLDERS)).collect();
        ranked.sort_by_cached_key(|face| {
            let preference = face.families.iter().filter_map(|(name, _)| PREFERRED.iter().position(|p| p == name)).min();
            let off_regular = (face.style != fontdb::Style::Normal, face.weight.0.abs_diff(400), face.stretch != fontdb::Stretch::Normal);
            let path = if let fontdb::Source::File(path) = &face.source { path.clone() } else { PathBuf::new() };
            (preference.unwrap_or(PREFERRED.len()), off_regular, face.monospaced, face.post_script_name.clone(), path, face.index)
        });
        let ranked = ranked.into_iter().map(|face| face.id).collect();
        Self { faces, ranked }
    }

    /// How many of `wanted` a face has.
    fn count(&self, id: fontdb::ID, wanted: &BTreeSet<char>) -> usize {
        let count = |bytes: &[u8], index| {
            let font = FontRef::try_from_slice_and_index(bytes, index).ok()?;
            Some(wanted.iter().filter(|c| visible_glyph(&font, **c).is_some()).count())
        };
        self.faces.with_face_data(id, count).flatten().unwrap_or(0)
    }
}

fn is(face: &fontdb::FaceInfo, names: &[&str]) -> bool {
    face.families.iter().any(|(name, _)| names.contains(&name.as_str()))
}

/// The data behind a lock stays whole when a thread dies: every change is one insertion.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether `c` is in a block which the installed font serves: Latin, Greek, Cyrillic, symbols, kana, Chinese.
fn bundled_has(c: char) -> bool {
    matches!(c, '!'..='\u{52f}' | '\u{2000}'..='\u{2bff}' | '\u{2e80}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe4f}' | '\u{ff00}'..='\u{ffef}')
}
