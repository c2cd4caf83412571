//! Reading order of the blocks of a page with one column or two, as PaddleX 3.0-beta1 sorts them; `regions` has the options of later
//! releases on which regions there are.

pub mod regions;

use serde::{Deserialize, Serialize};

/// How much of the page's width a block stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Columns {
    /// All of it.
    Single,
    /// The left or the right column.
    Double,
}

/// Indices of the blocks in reading order, each with its columns. `blocks` are left, top, right, bottom on a page
/// `page_width` pixels wide.
///
/// From the top downwards, blocks gather in a left and a right column until one comes that stands in neither: then the left
/// column is read, the right one, and that block.
pub fn reading_order(blocks: &[[f64; 4]], page_width: f64) -> Vec<(usize, Columns)> {
    if blocks.len() == 1 {
        return vec![(0, Columns::Single)];
    }
    let top = |&i: &usize| blocks[i][1];
    let left = |&i: &usize| blocks[i][0];
    let mut downwards: Vec<usize> = (0..blocks.len()).collect();
    downwards.sort_by(|a, b| top(a).total_cmp(&top(b)).then(left(a).total_cmp(&left(b))));
    let mut order = Vec::with_capacity(blocks.len());
    let mut columns = [Vec::new(), Vec::new()];
    let read = |order: &mut Vec<_>, columns: &mut [Vec<usize>; 2]| {
        columns.iter_mut().for_each(|column| order.extend(column.drain(..).map(|i| (i, Columns::Double))));
    };
    for i in downwards {
        let [x1, _, x2, _] = blocks[i];
        if x1 < page_width / 4.0 && x2 < 3.0 * page_width / 5.0 {
            columns[0].push(i);
        } else if x1 > 2.0 * page_width / 5.0 {
            columns[1].push(i);
        } else {
            read(&mut order, &mut columns);
            order.push((i, Columns::Single));
        }
    }
    read(&mut order, &mut columns);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_read_one_after_the_other_between_wide_blocks() {
        // A title, two columns of two blocks, a wide table, a footer on the right.
        let blocks = [
            [60., 300., 95., 340.],
            [5., 10., 95., 30.],
            [5., 40., 45., 80.],
            [55., 40., 95., 70.],
            [5., 90., 45., 120.],
            [55., 80., 95., 120.],
            [10., 150., 90., 280.],
        ];
        let order: Vec<usize> = reading_order(&blocks, 100.0).into_iter().map(|(i, _)| i).collect();
        assert_eq!(order, [1, 2, 4, 3, 5, 6, 0]);
        assert_eq!(reading_order(&blocks[..1], 100.0), [(0, Columns::Single)]);
        assert!(reading_order(&[], 100.0).is_empty());
        // A quarter, two and three fifths of the width are no part of a column.
        for (block, columns) in [
            ([24.0, 20.0, 59.0, 30.0], Columns::Double),
            ([25.0, 20.0, 59.0, 30.0], Columns::Single),
            ([24.0, 20.0, 60.0, 30.0], Columns::Single),
            ([40.0, 20.0, 90.0, 30.0], Columns::Single),
            ([41.0, 20.0, 90.0, 30.0], Columns::Double),
        ] {
            let order = reading_order(&[block, [5.0, 40.0, 95.0, 50.0]], 100.0);
            assert_eq!(order, [(0, columns), (1, Columns::Single)], "{block:?}");
        }
    }
}
