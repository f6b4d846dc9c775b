//! The page at `/`: try the API, see its columns and problems.

use millstream_io_gcp::bigquery::{Mode, TableSchema};

use super::failure::Failure;

/// The page without what depends on the table.
const PAGE: &str = include_str!("page.html");

/// The page for rows with these columns.
pub(super) fn html(schema: &TableSchema) -> String {
    let columns = schema.fields().iter().map(|field| {
        let empty = if field.mode == Mode::Required { "" } else { "or null" };
        let about = field.description.as_deref().unwrap_or("");
        line("", &[&field.name, &field.field_type.to_string(), empty, about])
    });
    let problems = Failure::OF_ROWS.into_iter().map(|failure| {
        line(failure.name(), &[failure.status().as_str(), failure.name(), failure.title()])
    });
    // No column can bring in a placeholder: braces are escaped.
    PAGE.replace("{columns}", &columns.collect::<String>())
        .replace("{problems}", &problems.collect::<String>())
}

fn line(id: &str, cells: &[&str]) -> String {
    let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
    let id = if id.is_empty() { String::new() } else { format!(" id=\"{id}\"") };
    format!("<tr{id}>{cells}</tr>\n")
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '{' => safe.push_str("&#123;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use millstream_io_gcp::bigquery::{Field, FieldType};

    use super::*;

    #[test]
    fn a_description_cannot_bring_in_markup_or_placeholders() {
        let field = Field::nullable("note", FieldType::String)
            .description("<script>alert(1)</script> {problems}");
        let page = html(&TableSchema::new().field(field));
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt; &#123;problems}"), "{page}");
        assert!(page.contains("<tr id=\"unknown-id\"><td>404</td>"), "{page}");
    }
}
