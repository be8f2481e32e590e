//! `template`: what is filled in, what is refused, and that no template runs on for ever.

use super::*;

#[tokio::test]
async fn rule_22_template_render_fills_in_lists_maps_none_and_python_methods() {
    see(r#"
        local function is(got, wanted) assert(got == wanted, got) end
        is(template.render("Hello {{ name }}!", { name = "you" }), "Hello you!")
        is(template.render("{% for b in builds %}{{ loop.index }}:{{ b.name.upper() }} {% endfor %}", { builds = { { name = "a" }, { name = "b" } } }), "1:A 2:B ")
        is(template.render("{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", { d = { b = 2, a = 1 } }), "a=1;b=2;")
        is(template.render("{{ x is none }} {{ y|default('d') }} {{ l|join(', ') }}", { x = None, l = { 1, 2 } }), "True d 1, 2")
        is(template.render("{{ 'a b&c'|urlencode }} {{ d|tojson }} {{ '<'|e }} {{ '<' }}", { d = { a = { 1 } } }), 'a%20b%26c {"a": [1]} &lt; <')
        is(template.render("{{ x }}", { x = "<b>" }, { html = true }), "&lt;b&gt;")
        is(template.render("{{ 0|datetimeformat(format='%Y') }}", {}):sub(1, 2), "19")
        is(template.render("[{{ nothing }}]"), "[]")
        is(template.render("{{ add(1, 2) }} {{ s.join({ 'a': [1, 2] }) }}", { add = function(a, b) return a + b end, s = { join = function(t) return table.concat(t.a, "-") end } }), "3 1-2")
        local t = template.compile("{{ x }}-{{ x }}")
        is(t:render{ x = 1 }, "1-1")
        is(t:render{ x = 2 }, "2-2")
    "#)
    .await;
}

#[tokio::test]
async fn rule_22_template_mistakes_name_the_line_and_bounds_hold() {
    let refused = [
        ("template.render('a\\n{{ x }}', {}, { strict = true })", "template.render: line 2 of the template: undefined value"),
        ("template.render('a\\n\\n{% if %}')", "template.render: line 3 of the template: syntax error"),
        ("template.render('x', {}, { strickt = true })", "unknown option 'strickt' (did you mean 'strict'?)"),
        ("local t = {} t.t = t template.render('x', { t = t })", "a table holds itself"),
        ("template.render('{{ f() }}', { f = function() sleep(0) end })", "waits, which it can't while a template is rendered"),
        ("template.render('\\n{{ f() }}', { f = function() error('boom', 0) end })", "line 2 of the template: invalid operation: boom"),
        (
            "template.render('{% for a in range(9999) %}{% for b in range(9999) %}{% set c = a %}{% endfor %}{% endfor %}')",
            "ran out of fuel",
        ),
        ("template.render('{% for a in range(9999) %}{{ x }}{% endfor %}', { x = ('x'):rep(10000) })", "larger than 16777216 bytes"),
        ("template.compile('{{')", "template.compile: line 1 of the template"),
    ];
    for (call, wanted) in refused {
        let told = mistakes(&format!("\n{call}")).await.join("\n");
        assert!(told.starts_with("master.lua:2: ") && told.contains(wanted), "{call}: {told}");
    }
}
