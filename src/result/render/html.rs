//! Tables as HTML. Whatever is in a picture stays text: what has a meaning in HTML is escaped.

use crate::result::table::{GridCell, Table};

/// The table as PaddleX writes it, `<html><body><table>` and their ends around it, with the texts escaped.
pub fn table(table: &Table) -> String {
    format!("<html><body>{}</body></html>", tagged(table, true))
}

/// The table as a file that browsers show with the right characters and with lines between the cells.
pub fn document(table: &Table) -> String {
    const HEAD: &str = "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>Table</title><style>table{border-collapse:collapse}td{border:1px solid #888;padding:2px 6px}</style></head><body>\n";
    format!("{HEAD}{}\n</body></html>\n", element(table))
}

/// The `<table>` element alone, as browsers show it like [`Table::grid`]: they end cells of the head with it, so where one
/// reaches below, head and body are not told apart.
pub fn element(table: &Table) -> String {
    let grid = table.grid();
    let reaches_below = |cell: &GridCell| cell.row < grid.head_rows && cell.row + cell.row_span > grid.head_rows;
    tagged(table, !grid.cells.iter().any(reaches_below))
}

fn tagged(table: &Table, with_groups: bool) -> String {
    const GROUPS: [&str; 4] = ["<thead>", "</thead>", "<tbody>", "</tbody>"];
    let mut out = String::from("<table>");
    let mut texts = table.texts.iter();
    for token in table.structure.iter().filter(|token| with_groups || !GROUPS.contains(&token.as_str())) {
        if !token.contains("</td>") {
            out += token;
            continue;
        }
        // Tokens come in any order: a text that stood within a tag would be attributes.
        if out.rfind('<') > out.rfind('>') {
            out.push('>');
        }
        let is_whole = token == "<td></td>";
        out += if is_whole { "<td>" } else { "" };
        out += &texts.next().map_or_else(String::new, |text| escaped(text));
        out += if is_whole { "</td>" } else { token };
    }
    out + "</table>"
}

/// Characters that mean something in HTML, and what stands for them; that with which those begin is first.
const REFERENCES: [(char, &str); 5] = [('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&quot;"), ('\'', "&#39;")];

/// `text` with `& < > " '` as references.
pub fn escaped(text: &str) -> String {
    REFERENCES.iter().fold(text.to_owned(), |text, (character, reference)| text.replace(*character, reference))
}

/// The texts of the cells of a table that [`table`] wrote, without their spaces, as [`Table::plain_text`] has them.
pub fn cell_texts(html: &str) -> Vec<String> {
    let cell = |from: &str| {
        let (_, inside) = from.split_once('>')?;
        Some(unescaped(inside.split("</td>").next()?).replace(' ', ""))
    };
    html.split("<td").skip(1).filter_map(cell).collect()
}

/// Undoes [`escaped`].
fn unescaped(text: &str) -> String {
    REFERENCES.iter().rev().fold(text.to_owned(), |text, (character, reference)| text.replace(reference, &character.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::table::tests as sample;

    #[test]
    fn cells_hold_their_texts() {
        let found = table(&sample::table(sample::SPANS, "表头,left,a,b,c,d"));
        let expected = "<html><body><table><thead><tr><td colspan=\"3\">表头</td></tr></thead><tbody><tr><td rowspan=\"2\">left</td><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></tbody></table></body></html>";
        assert_eq!(found, expected);
    }

    #[test]
    fn texts_come_back_from_the_markup() {
        let mut one = sample::table(sample::SPANS, "head,left,,b");
        one.texts[2] = "1 < 2 &lt; \"3\"</td>".into();
        let texts = cell_texts(&table(&one));
        assert_eq!(texts, ["head", "left", "1<2&lt;\"3\"</td>", "b", "", ""]);
        one.texts.resize(6, String::new());
        assert_eq!(texts.join(" "), one.plain_text());
        assert!(cell_texts("<td").is_empty() && cell_texts("").is_empty());
    }

    #[test]
    fn text_never_becomes_markup() {
        let hostile = r#"<script>alert("x" & 'y')</script>"#;
        let mut one = sample::table("<tr>|<td></td>|</tr>", "");
        one.texts = vec![hostile.into()];
        let html = document(&one);
        assert!(html.contains("<td>&lt;script&gt;alert(&quot;x&quot; &amp; &#39;y&#39;)&lt;/script&gt;</td>"), "{html}");
        let open = element(&sample::table("<tr>|<td| colspan=\"2\"|</td>|<td|<td></td>|</tr>", "onfocus=x,b"));
        assert_eq!(open, "<table><tr><td colspan=\"2\">onfocus=x</td><td><td>b</td></tr></table>");
    }

    #[test]
    fn a_head_whose_cells_reach_into_the_body_is_none() {
        let one = sample::table("<thead>|<tr>|<td| rowspan=\"2\"|>|</td>|</tr>|</thead>|<tbody>|<tr>|<td></td>|</tr>|</tbody>", "a,b");
        assert_eq!(element(&one), "<table><tr><td rowspan=\"2\">a</td></tr><tr><td>b</td></tr></table>");
        assert!(table(&one).contains("<thead>"), "as the reference has it");
    }
}
