//! Plots in SVG: bars side by side, and lines on logarithmic axes.

use std::fmt::Write;

/// One line of a plot.
pub struct Line {
    /// Its name.
    pub name: String,
    /// From left to right.
    pub points: Vec<(usize, f64)>,
}

/// Works on light and dark pages. Only the reference is in colour.
const STYLE: &str = "\
<style>
text { font: 12px system-ui, sans-serif; fill: #333 }
.title { font-weight: 600 }
.own { fill: #c2410c } .other { fill: #94a3b8 }
.grid { stroke: #8884 } .line { fill: none }
@media (prefers-color-scheme: dark) { text { fill: #ccc } .own { fill: #fb923c } .other { fill: #64748b } }
</style>
";

/// The colours of lines; the first is for the reference.
const COLOURS: [&str; 9] = [
    "#ea580c", "#d97706", "#65a30d", "#0d9488", "#0284c7", "#4f46e5", "#9333ea", "#db2777",
    "#64748b",
];

const PANEL_WIDTH: f64 = 430.0;
const LABEL_WIDTH: f64 = 150.0;
const FIGURE_WIDTH: f64 = 60.0;
const BAR: f64 = 16.0;
const HEAD: f64 = 30.0;

/// Panels of horizontal bars, in two columns: each has a title, and bars with their names and lengths.
pub fn bars(title: &str, panels: &[(String, Vec<(String, f64)>)], own: &str) -> String {
    let most = panels.iter().map(|(_, bars)| bars.len()).max().unwrap_or(0);
    let panel_height = HEAD + BAR * most as f64 + 10.0;
    let rows = panels.len().div_ceil(2);
    let mut svg = begin(2.0 * PANEL_WIDTH, HEAD + panel_height * rows as f64, title);
    for (index, (title, bars)) in panels.iter().enumerate() {
        let x = 10.0 + (index % 2) as f64 * PANEL_WIDTH;
        let y = HEAD + (index / 2) as f64 * panel_height;
        text(&mut svg, x, y + 18.0, "title", "start", title);
        panel(&mut svg, x, y + HEAD, bars, own);
    }
    svg + "</svg>\n"
}

fn panel(svg: &mut String, x: f64, y: f64, bars: &[(String, f64)], own: &str) {
    let longest = bars
        .iter()
        .map(|(_, length)| *length)
        .fold(f64::MIN_POSITIVE, f64::max);
    let scale = (PANEL_WIDTH - LABEL_WIDTH - FIGURE_WIDTH - 20.0) / longest;
    for (index, (name, length)) in bars.iter().enumerate() {
        let y = y + BAR * index as f64;
        let class = if name == own { "own" } else { "other" };
        let (left, width) = (x + LABEL_WIDTH, length * scale);
        text(svg, left - 6.0, y + 11.0, "", "end", name);
        let _ = writeln!(
            svg,
            r#"<rect class="{class}" x="{left:.1}" y="{y:.1}" width="{width:.1}" height="{:.1}"/>"#,
            BAR - 3.0
        );
        text(
            svg,
            left + width + 5.0,
            y + 11.0,
            "",
            "start",
            &short(*length),
        );
    }
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 135.0;
const BOTTOM: f64 = 30.0;

/// Lines on two logarithmic axes, with a legend in the order of their ends.
pub fn lines(title: &str, lines: &[Line], label: impl Fn(usize) -> String, own: &str) -> String {
    let mut svg = begin(WIDTH, HEIGHT, title);
    let points: Vec<_> = lines
        .iter()
        .flat_map(|line| line.points.iter().copied())
        .collect();
    let xs = Axis::of(points.iter().map(|(x, _)| *x as f64), LEFT, WIDTH - RIGHT);
    let ys = Axis::of(points.iter().map(|(_, y)| *y), HEIGHT - BOTTOM, HEAD + 10.0);
    let (Some(xs), Some(ys)) = (xs, ys) else {
        return svg + "</svg>\n";
    };
    for tick in ys.ticks() {
        let y = ys.at(tick);
        let _ = writeln!(
            svg,
            r#"<path class="grid" d="M{LEFT} {y:.1}H{:.1}"/>"#,
            WIDTH - RIGHT
        );
        text(&mut svg, LEFT - 6.0, y + 4.0, "", "end", &short(tick));
    }
    let mut marks: Vec<_> = points.iter().map(|(x, _)| *x).collect();
    marks.sort_unstable();
    marks.dedup();
    for mark in marks {
        text(
            &mut svg,
            xs.at(mark as f64),
            HEIGHT - 8.0,
            "",
            "middle",
            &label(mark),
        );
    }
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let path = line
            .points
            .iter()
            .map(|(x, y)| format!("{:.1},{:.1}", xs.at(*x as f64), ys.at(*y)));
        let path = path.collect::<Vec<_>>().join(" ");
        let width = if line.name == own { 3.0 } else { 1.5 };
        let _ = writeln!(
            svg,
            r#"<polyline class="line" points="{path}" stroke="{colour}" stroke-width="{width}"/>"#
        );
    }
    legend(&mut svg, lines);
    svg + "</svg>\n"
}

fn legend(svg: &mut String, lines: &[Line]) {
    let mut entries: Vec<_> = lines.iter().zip(COLOURS.iter().cycle()).collect();
    let end = |line: &Line| line.points.last().map_or(0.0, |(_, y)| *y);
    entries.sort_by(|(one, _), (other, _)| end(other).total_cmp(&end(one)));
    for (index, (line, colour)) in entries.iter().enumerate() {
        let (x, y) = (WIDTH - RIGHT + 15.0, HEAD + 20.0 + 18.0 * index as f64);
        let _ = writeln!(
            svg,
            r#"<rect x="{x}" y="{:.1}" width="10" height="3" fill="{colour}"/>"#,
            y - 5.0
        );
        text(svg, x + 15.0, y, "", "start", &line.name);
    }
}

/// A logarithmic axis.
struct Axis {
    least: f64,
    most: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn of(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Option<Self> {
        let values: Vec<_> = values.filter(|value| *value > 0.0).collect();
        let least = values.iter().copied().min_by(f64::total_cmp)?;
        let most = values.iter().copied().max_by(f64::total_cmp)?;
        Some(Self {
            least: least.ln(),
            most: most.max(least * 1.01).ln(),
            from,
            to,
        })
    }

    fn at(&self, value: f64) -> f64 {
        self.from + (value.ln() - self.least) / (self.most - self.least) * (self.to - self.from)
    }

    /// 1, 2, 5, 10, 20 and so on, within its range.
    fn ticks(&self) -> Vec<f64> {
        let decades = (-6..12).map(|decade| 10f64.powi(decade));
        let all = decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|step| step * decade));
        all.filter(|tick| (self.least..=self.most).contains(&tick.ln()))
            .collect()
    }
}

fn begin(width: f64, height: f64, title: &str) -> String {
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">"#
    );
    svg += "\n";
    let _ = writeln!(svg, "<title>{}</title>", escaped(title));
    svg += STYLE;
    text(&mut svg, 10.0, 18.0, "title", "start", title);
    svg
}

fn text(svg: &mut String, x: f64, y: f64, class: &str, anchor: &str, text: &str) {
    let _ = writeln!(
        svg,
        r#"<text x="{x:.1}" y="{y:.1}" class="{class}" text-anchor="{anchor}">{}</text>"#,
        escaped(text)
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// A figure in about three digits.
fn short(figure: f64) -> String {
    match figure {
        0.0..10.0 => format!("{figure:.2}")
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned(),
        10.0..100.0 => format!("{figure:.1}")
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned(),
        _ => format!("{figure:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_is_logarithmic() {
        let axis = Axis::of([10.0, 1000.0].into_iter(), 0.0, 100.0).expect("an axis");
        assert_eq!((axis.at(10.0), axis.at(1000.0)), (0.0, 100.0));
        assert!((axis.at(100.0) - 50.0).abs() < 1e-9);
        assert!(Axis::of([].into_iter(), 0.0, 1.0).is_none());
    }

    #[test]
    fn figures_are_short() {
        for (figure, text) in [
            (5.0, "5"),
            (0.25, "0.25"),
            (12.34, "12.3"),
            (50.0, "50"),
            (1234.5, "1234"),
        ] {
            assert_eq!(short(figure), text);
        }
    }

    #[test]
    fn plots_contain_titles_names_and_figures() {
        let panels = [(
            "1 × 16 B".to_owned(),
            vec![("wasocket".to_owned(), 2.0), ("a<b".to_owned(), 4.0)],
        )];
        let svg = bars("title", &panels, "wasocket");
        assert!(
            svg.contains("a&lt;b")
                && svg.matches("<rect").count() == 2
                && svg.ends_with("</svg>\n")
        );
        let line = Line {
            name: "wasocket".to_owned(),
            points: vec![(10, 1.0), (100, 2.0)],
        };
        let svg = lines("title", &[line], |x| x.to_string(), "wasocket");
        assert!(svg.contains("<polyline") && svg.contains(">100</text>"));
        assert!(lines("title", &[], |x| x.to_string(), "wasocket").ends_with("</svg>\n"));
    }
}
