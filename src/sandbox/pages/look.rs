//! How pages look: one frame, one style, and the escaping of foreign text.

use crate::sandbox::http::Response;

const STYLE: &str = "\
    :root{color-scheme:light dark}\
    body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:34rem;padding:0 1rem;\
      background:Canvas;color:CanvasText;overflow-wrap:anywhere}\
    main{border:1px solid #8888;border-radius:.5rem;padding:1rem 1.5rem 1.5rem}\
    h1{font-size:1.4rem;line-height:1.3;margin:.25rem 0 1rem}\
    .box{border:2px dashed #b58900;border-radius:.5rem;padding:.3rem .8rem;margin:0 0 1rem}\
    fieldset{border:1px solid #8888;border-radius:.4rem;margin:1rem 0}\
    label{display:block;padding:.3rem 0}\
    input:not([type=radio],[type=checkbox]){display:block;width:100%;box-sizing:border-box;\
      font:inherit;padding:.4rem .6rem;border:1px solid #888;border-radius:.3rem}\
    button{font:inherit;padding:.45rem 1.1rem;margin:.6rem .5rem 0 0;border:1px solid #888;\
      border-radius:.3rem;background:transparent;color:inherit;cursor:pointer}\
    #accept,#sign-in,#authorize{background:#0550ae;border-color:#0550ae;color:#fff}\
    @media(prefers-color-scheme:dark){a{color:#8bf}}";

/// Text that is safe between tags and in quoted attributes.
pub(in crate::sandbox) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// A whole page; `title` is escaped here, `body` is markup already.
pub(in crate::sandbox) fn page(status: u16, title: &str, body: &str) -> Response {
    let title = escape(title);
    Response::html(
        status,
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>{title}</title><style>{STYLE}</style></head>\
             <body><p class=\"box\">tenantry sandbox, not Microsoft</p><main><h1>{title}</h1>{body}</main></body></html>"
        ),
    )
    // No `form-action`: browsers apply it to the redirect that follows a form too.
    .with("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
    .with("cache-control", "no-store")
    .with("referrer-policy", "same-origin")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_foreign_becomes_markup() {
        assert_eq!(escape("<b a=\"x\">'&"), "&lt;b a=&quot;x&quot;&gt;&#39;&amp;");
    }
}
