//! Rounds in, a Markdown table out: medians, spread, and ratios to the best peer.

use std::fmt::Write;

use super::scenario::Kind;

/// One server's rounds: a value for each column of the table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Round after round; the same number in every row.
    pub(super) rounds: Vec<Vec<f64>>,
}

/// What the columns are called, and how many decimals they have. The first one is compared.
pub(super) type Columns<'a> = &'a [(&'a str, usize)];

/// The table. The ratios are those of the same round, of which the median is taken: what slows
/// down the whole machine for a while is in both.
pub(super) fn markdown(columns: Columns<'_>, rows: &[Row]) -> String {
    let best = rows
        .iter()
        .filter(|row| row.kind == Kind::Peer)
        .min_by(|a, b| a.median(0).total_cmp(&b.median(0)));
    let ceiling = rows.iter().find(|row| row.kind == Kind::Ceiling);
    let references = [("best peer", best), ("bare", ceiling)];
    let references = references.map(|(name, row)| row.map(|row| (name, row)));
    let references: Vec<(&str, &Row)> = references.into_iter().flatten().collect();

    let mut head = "| |".to_owned();
    let mut rule = "|---|".to_owned();
    let (compared, _) = columns[0];
    let names = columns[1..].iter().map(|(name, _)| (*name).to_owned());
    let ratios = references.iter().map(|(name, _)| format!("× {name}"));
    let all = [compared.to_owned(), "lowest–highest".to_owned()];
    for name in all.into_iter().chain(names).chain(ratios) {
        // Writing to a string does not fail.
        let _ = write!(head, " {name} |");
        rule.push_str("---:|");
    }
    let mut table = format!("{head}\n{rule}\n");
    for row in rows {
        let emphasis = if row.kind == Kind::Ours { "**" } else { "" };
        let (_, decimals) = columns[0];
        let (low, high) = row.spread();
        let _ = write!(table, "| {emphasis}{}{emphasis} |", row.name);
        let _ = write!(table, " {emphasis}{:.decimals$}{emphasis} |", row.median(0));
        let _ = write!(table, " {low:.decimals$}–{high:.decimals$} |");
        for (column, (_, decimals)) in columns.iter().enumerate().skip(1) {
            let median = row.median(column);
            let _ = match median.is_nan() {
                true => write!(table, " – |"),
                false => write!(table, " {median:.decimals$} |"),
            };
        }
        for (_, reference) in &references {
            let _ = write!(table, " {:.2} |", row.ratio_to(reference));
        }
        table.push('\n');
    }
    table
}

impl Row {
    fn column(&self, column: usize) -> impl Iterator<Item = f64> {
        self.rounds.iter().map(move |round| round[column])
    }

    /// NaN when there is nothing, or something that is not a number.
    pub(super) fn median(&self, column: usize) -> f64 {
        median(self.column(column).collect())
    }

    fn spread(&self) -> (f64, f64) {
        let start = (f64::INFINITY, f64::NEG_INFINITY);
        self.column(0).fold(start, |(low, high), value| {
            (low.min(value), high.max(value))
        })
    }

    fn ratio_to(&self, other: &Self) -> f64 {
        let pairs = self.column(0).zip(other.column(0));
        median(pairs.map(|(ours, theirs)| ours / theirs).collect())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    if values.is_empty() || values.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &'static str, kind: Kind, rounds: &[f64]) -> Row {
        Row {
            name,
            kind,
            rounds: rounds.iter().map(|value| vec![*value, 7.0]).collect(),
        }
    }

    #[test]
    fn table_has_medians_spread_and_ratios_of_the_same_round() {
        let rows = [
            row("bare", Kind::Ceiling, &[1.0, 2.0, 1.0]),
            row("we", Kind::Ours, &[2.0, 4.0, 3.0]),
            row("slow", Kind::Peer, &[9.0, 9.0, 9.0]),
            row("fast", Kind::Peer, &[4.0, 8.0, 4.0]),
        ];

        let table = markdown(&[("µs", 1), ("more", 0)], &rows);

        assert_eq!(
            table,
            "\
| | µs | lowest–highest | more | × best peer | × bare |
|---|---:|---:|---:|---:|---:|
| bare | 1.0 | 1.0–2.0 | 7 | 0.25 | 1.00 |
| **we** | **3.0** | 2.0–4.0 | 7 | 0.50 | 2.00 |
| slow | 9.0 | 9.0–9.0 | 7 | 2.25 | 9.00 |
| fast | 4.0 | 4.0–8.0 | 7 | 1.00 | 4.00 |
"
        );
    }

    #[test]
    fn median_of_an_even_number_lies_between() {
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(vec![]).is_nan());
    }
}
