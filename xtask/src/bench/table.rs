//! Rounds in, a Markdown table out: medians, spread, and ratios to the best peer or to one worker.

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

/// A column of numbers. The first one of a table is always compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column<'a> {
    pub(super) name: &'a str,
    pub(super) decimals: usize,
    /// Whether one worker's is a measure for it, too.
    pub(super) compared: bool,
}

impl<'a> Column<'a> {
    pub(super) const fn new(name: &'a str, decimals: usize) -> Self {
        Self {
            name,
            decimals,
            compared: false,
        }
    }
}

/// The table. The ratios are those of the same round, of which the median is taken: what slows
/// down the whole machine for a while is in both.
pub(super) fn markdown(columns: &[Column<'_>], rows: &[Row]) -> String {
    let references = references(columns, rows);
    let among_others = rows.iter().any(|row| row.kind == Kind::Peer);

    let mut head = "| |".to_owned();
    let mut rule = "|---|".to_owned();
    let names = columns[1..].iter().map(|column| column.name.to_owned());
    let ratios = references.iter().map(|reference| reference.title.clone());
    let all = [columns[0].name.to_owned(), "lowest–highest".to_owned()];
    for name in all.into_iter().chain(names).chain(ratios) {
        // Writing to a string does not fail.
        let _ = write!(head, " {name} |");
        rule.push_str("---:|");
    }
    let mut table = format!("{head}\n{rule}\n");
    for row in rows {
        let emphasised = row.kind == Kind::Ours && among_others;
        let emphasis = if emphasised { "**" } else { "" };
        let decimals = columns[0].decimals;
        let (low, high) = row.spread();
        let _ = write!(table, "| {emphasis}{}{emphasis} |", row.name);
        let _ = write!(table, " {emphasis}{:.decimals$}{emphasis} |", row.median(0));
        let _ = write!(table, " {low:.decimals$}–{high:.decimals$} |");
        for (index, Column { decimals, .. }) in columns.iter().enumerate().skip(1) {
            let median = row.median(index);
            let _ = match median.is_nan() {
                true => write!(table, " – |"),
                false => write!(table, " {median:.decimals$} |"),
            };
        }
        for Reference {
            row: other, column, ..
        } in &references
        {
            let _ = write!(table, " {:.2} |", row.ratio_to(other, *column));
        }
        table.push('\n');
    }
    table
}

/// A row that all are compared with, and in what.
struct Reference<'a> {
    title: String,
    row: &'a Row,
    column: usize,
}

fn references<'a>(columns: &[Column<'_>], rows: &'a [Row]) -> Vec<Reference<'a>> {
    let of = |kind| rows.iter().filter(move |row| row.kind == kind);
    let best = of(Kind::Peer).min_by(|a, b| a.median(0).total_cmp(&b.median(0)));
    let first = [
        ("best peer", best),
        ("bare", of(Kind::Ceiling).next()),
        ("one worker", of(Kind::OneWorker).next()),
    ];
    let first = first.into_iter().filter_map(|(name, row)| {
        Some(Reference {
            title: format!("× {name}"),
            row: row?,
            column: 0,
        })
    });
    let compared = columns.iter().enumerate().filter(|(_, it)| it.compared);
    let others = compared.filter_map(|(column, Column { name, .. })| {
        Some(Reference {
            title: format!("{name}, × one worker"),
            row: of(Kind::OneWorker).next()?,
            column,
        })
    });
    first.chain(others).collect()
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

    fn ratio_to(&self, other: &Self, column: usize) -> f64 {
        let pairs = self.column(column).zip(other.column(column));
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

        let table = markdown(&[Column::new("µs", 1), Column::new("more", 0)], &rows);

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
    fn one_worker_is_a_measure_for_the_first_column_and_for_those_compared() {
        let mut rows = [
            row("one", Kind::OneWorker, &[2.0, 4.0, 2.0]),
            row("two", Kind::Ours, &[3.0, 4.0, 4.0]),
        ];
        for round in &mut rows[1].rounds {
            round[1] = f64::NAN;
            round.push(21.0);
        }
        for round in &mut rows[0].rounds {
            round.push(14.0);
        }
        let rate = Column {
            compared: true,
            ..Column::new("rate", 0)
        };

        let table = markdown(&[Column::new("µs", 1), Column::new("few", 0), rate], &rows);

        assert_eq!(
            table,
            "\
| | µs | lowest–highest | few | rate | × one worker | rate, × one worker |
|---|---:|---:|---:|---:|---:|---:|
| one | 2.0 | 2.0–4.0 | 7 | 14 | 1.00 | 1.00 |
| two | 4.0 | 3.0–4.0 | – | 21 | 1.50 | 1.50 |
"
        );
    }

    #[test]
    fn median_of_an_even_number_lies_between() {
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(vec![]).is_nan());
    }
}
