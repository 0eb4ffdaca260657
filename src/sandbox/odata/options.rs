//! From a raw query string to options by name.

use std::borrow::Cow;

use crate::sandbox::schema::Refusal;

/// Longer query strings are refused before anything looks at them, in bytes. Real
/// gateways cut near this length too.
const MAX_QUERY: usize = 16 * 1024;

/// The system query options, each at most once, decoded.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) filter: Option<String>,
    pub(super) search: Option<String>,
    pub(super) orderby: Option<String>,
    pub(super) select: Option<String>,
    pub(super) expand: Option<String>,
    pub(super) top: Option<String>,
    pub(super) skip: Option<String>,
    pub(super) count: Option<String>,
    pub(super) skiptoken: Option<String>,
    /// All parts but `$skiptoken`, as they came: a next link repeats them letter by letter.
    pub(super) raw: String,
}

/// Reads a query string. Graph takes the options' names with and without `$`
/// (<https://learn.microsoft.com/en-us/graph/query-parameters>) and in any case; other
/// names without `$` mean nothing to it.
pub(super) fn read(raw: &str) -> Result<Options, Refusal> {
    if raw.len() > MAX_QUERY {
        return Err(Refusal::new(414, "BadRequest", "The request URI is too long."));
    }
    let mut options = Options::default();
    let mut kept = Vec::new();
    for part in raw.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let name = decode(name)?;
        let lower = name.to_ascii_lowercase();
        let (bare, dollar) = match lower.strip_prefix('$') {
            Some(bare) => (bare, true),
            None => (lower.as_str(), false),
        };
        let place = match bare {
            "filter" => &mut options.filter,
            "search" => &mut options.search,
            "orderby" => &mut options.orderby,
            "select" => &mut options.select,
            "expand" => &mut options.expand,
            "top" => &mut options.top,
            "skip" => &mut options.skip,
            "count" => &mut options.count,
            "skiptoken" => &mut options.skiptoken,
            "format" => {
                let format = decode(value)?;
                if !(format.starts_with("json") || format.starts_with("application/json")) {
                    return Err(Refusal::malformed(
                        "A supported MIME type could not be found that matches the content type of the response.",
                    ));
                }
                kept.push(part);
                continue;
            }
            _ if dollar => {
                return Err(Refusal::malformed(format!(
                    "The query parameter '{name}' is not supported."
                )));
            }
            _ => {
                kept.push(part);
                continue;
            }
        };
        if place.is_some() {
            return Err(Refusal::malformed(format!(
                "Query option '${bare}' was specified more than once, but it must be specified at most once."
            )));
        }
        *place = Some(decode(value)?.into_owned());
        if bare != "skiptoken" {
            kept.push(part);
        }
    }
    options.raw = kept.join("&");
    Ok(options)
}

/// Undoes percent-encoding; a `+` is a space, as in forms.
fn decode(text: &str) -> Result<Cow<'_, str>, Refusal> {
    if !text.contains(['%', '+']) {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
                let (Some(high), Some(low)) = (digit(), digit()) else {
                    return Err(not_decodable());
                };
                // Two digits of base 16 are at most 255.
                u8::try_from(high * 16 + low).map_err(|_| not_decodable())?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| not_decodable())
}

fn not_decodable() -> Refusal {
    Refusal::malformed("The request URI is not valid: it is not percent-encoded UTF-8.")
}
