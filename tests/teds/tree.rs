//! Tables as trees, and how much of one there is in the other: 1 less the edits between them (Zhang and Shasha 1989) over the nodes
//! of the larger. Texts of cells count by the share of their characters that changes.

use serde::Deserialize;

/// An element: its name with its spans, the text of a cell, its children.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Node(String, String, Vec<Node>);

impl Node {
    /// The first element of `html`, of which only what tables hold is understood.
    pub fn parse(html: &str) -> Self {
        let mut open = vec![Self::default()];
        for part in html.split('<').skip(1) {
            let (tag, text) = part.split_once('>').expect("a whole tag");
            if tag.starts_with('/') {
                let done = open.pop().expect("an open element");
                open.last_mut().expect("the root").2.push(done);
            } else {
                let mut attributes: Vec<&str> = tag.split(' ').collect();
                attributes[1..].sort_unstable();
                open.push(Self(attributes.join(" "), unescaped(text), Vec::new()));
            }
        }
        open.remove(0).2.remove(0)
    }

    /// Nodes in postorder, each with the number of the leftmost leaf below it.
    fn postorder<'a>(&'a self, out: &mut Vec<(&'a Self, usize)>) {
        let first = out.len();
        self.2.iter().for_each(|child| child.postorder(out));
        out.push((self, first));
    }

    /// What it costs to make this node the other.
    fn rename(&self, other: &Self) -> f64 {
        if self.0 != other.0 {
            return 1.0;
        }
        let (a, b): (Vec<char>, Vec<char>) = (self.1.chars().collect(), other.1.chars().collect());
        match a.len().max(b.len()) {
            0 => 0.0,
            longest => levenshtein(&a, &b) as f64 / longest as f64,
        }
    }
}

/// How alike two trees are, 0 to 1.
pub fn teds(a: &Node, b: &Node) -> f64 {
    let (mut from, mut to) = (Vec::new(), Vec::new());
    a.postorder(&mut from);
    b.postorder(&mut to);
    1.0 - distance(&from, &to) / from.len().max(to.len()) as f64
}

fn distance(a: &[(&Node, usize)], b: &[(&Node, usize)]) -> f64 {
    // The last node of each leftmost leaf: below it the forests are compared once.
    let roots = |nodes: &[(&Node, usize)]| -> Vec<usize> {
        (0..nodes.len()).filter(|&i| !nodes[i + 1..].iter().any(|later| later.1 == nodes[i].1)).collect()
    };
    let mut trees = vec![vec![0.0; b.len()]; a.len()];
    for &i in &roots(a) {
        for &j in &roots(b) {
            let (first_a, first_b) = (a[i].1, b[j].1);
            let (rows, columns) = (i - first_a + 2, j - first_b + 2);
            let mut forest = vec![vec![0.0_f64; columns]; rows];
            (0..rows).for_each(|x| forest[x][0] = x as f64);
            (0..columns).for_each(|y| forest[0][y] = y as f64);
            for x in 1..rows {
                for y in 1..columns {
                    let (node_a, node_b) = (first_a + x - 1, first_b + y - 1);
                    let edit = (forest[x - 1][y] + 1.0).min(forest[x][y - 1] + 1.0);
                    if a[node_a].1 == first_a && b[node_b].1 == first_b {
                        forest[x][y] = edit.min(forest[x - 1][y - 1] + a[node_a].0.rename(b[node_b].0));
                        trees[node_a][node_b] = forest[x][y];
                    } else {
                        let before = forest[a[node_a].1 - first_a][b[node_b].1 - first_b];
                        forest[x][y] = edit.min(before + trees[node_a][node_b]);
                    }
                }
            }
        }
    }
    trees[a.len() - 1][b.len() - 1]
}

fn levenshtein(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let cost = (row[j + 1] + 1).min(row[j] + 1).min(diagonal + usize::from(x != y));
            diagonal = std::mem::replace(&mut row[j + 1], cost);
        }
    }
    row[b.len()]
}

fn unescaped(text: &str) -> String {
    let references = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&#x27;", "'"), ("&amp;", "&")];
    references.iter().fold(text.to_owned(), |text, (reference, character)| text.replace(reference, character))
}
