//! A small writer of documents, sound or not.

/// Objects numbered from 1 in the order they are added.
#[derive(Default)]
pub struct Writer {
    objects: Vec<Vec<u8>>,
}

impl Writer {
    /// Adds an object and returns its number.
    pub fn add(&mut self, body: impl AsRef<[u8]>) -> usize {
        self.objects.push(body.as_ref().to_vec());
        self.objects.len()
    }

    /// Adds a stream; `entries` are those of its dictionary besides the length.
    pub fn stream(&mut self, entries: &str, data: &[u8]) -> usize {
        let mut body = format!("<< {entries} /Length {} >> stream\n", data.len()).into_bytes();
        body.extend_from_slice(data);
        body.extend_from_slice(b"\nendstream");
        self.add(body)
    }

    /// Number of objects so far.
    pub fn objects(&self) -> usize {
        self.objects.len()
    }

    /// The file, with a table of its objects; `root` is the number of its catalogue.
    pub fn finish(self, root: usize) -> Vec<u8> {
        let mut out = b"%PDF-1.7\n".to_vec();
        let mut places = Vec::new();
        for (i, body) in self.objects.iter().enumerate() {
            places.push(out.len());
            out.extend(format!("{} 0 obj\n", i + 1).bytes());
            out.extend(body);
            out.extend(b"\nendobj\n");
        }
        let table = out.len();
        out.extend(format!("xref\n0 {}\n0000000000 65535 f \n", places.len() + 1).bytes());
        places.iter().for_each(|place| out.extend(format!("{place:010} 00000 n \n").bytes()));
        out.extend(format!("trailer << /Size {} /Root {root} 0 R >>\nstartxref\n{table}\n%%EOF\n", places.len() + 1).bytes());
        out
    }
}

/// A document of pages of 100 x 50 points, each with its own content.
pub fn document(contents: &[&str]) -> Vec<u8> {
    document_with(contents, "/MediaBox [0 0 100 50]", |_| String::new())
}

/// As [`document`], with these entries in every page, and the resources that `resources` adds.
pub fn document_with(contents: &[&str], entries: &str, resources: impl Fn(&mut Writer) -> String) -> Vec<u8> {
    let mut writer = Writer::default();
    let root = writer.add("<< /Type /Catalog /Pages 2 0 R >>");
    let first = 3;
    let kids: String = (0..contents.len()).map(|i| format!("{} 0 R ", first + 2 * i)).collect();
    writer.add(format!("<< /Type /Pages /Count {} /Kids [{kids}] >>", contents.len()));
    // Resources come after the pages, whose numbers must be known before.
    let mut later = Writer { objects: vec![Vec::new(); 2 + 2 * contents.len()] };
    let resources = resources(&mut later);
    for (i, content) in contents.iter().enumerate() {
        writer.add(format!("<< /Type /Page /Parent 2 0 R {entries} /Contents {} 0 R /Resources << {resources} >> >>", first + 2 * i + 1));
        writer.stream("", content.as_bytes());
    }
    writer.objects.extend(later.objects.drain(2 + 2 * contents.len()..));
    writer.finish(root)
}

/// A page filled with black, in PDF's words.
pub const BLACK: &str = "0 g 0 0 100 50 re f";

/// A document of two pages: one that takes for ever, and a black one.
pub fn slow_then_black() -> Vec<u8> {
    // Each of thirty drawings draws the next one twice.
    document_with(&["/X0 Do", BLACK], "/MediaBox [0 0 100 50]", |writer| {
        let first = writer.objects() + 1;
        for i in 0..30 {
            let next = format!("/Subtype /Form /BBox [0 0 100 50] /Resources << /XObject << /X {} 0 R >> >>", first + i + 1);
            writer.stream(&next, b"/X Do /X Do 1 0 0 rg 1 1 5 5 re f");
        }
        writer.stream("/Subtype /Form /BBox [0 0 100 50]", b"0 0 9 9 re f");
        format!("/XObject << /X0 {first} 0 R >>")
    })
}
