"""The breakages that run.py makes: by file, the exact text, which is there once, and what is put in its place.

`stories` names those of tests/story/ that notice it where no unit test can; `same` says why it changes nothing that anyone
could notice.
"""

from typing import NamedTuple


class Break(NamedTuple):
    old: str
    new: str
    stories: str = ""
    same: str = ""


BREAKAGES = {
    "cache/vary.c": [
        Break("#define NAMES_MOST 32", "#define NAMES_MOST 33"),
        Break(
            "if (f->id == s->id && (f->id != FIELD_OTHER || str_equal_nocase(field_name(f), s->name)))",
            "if (f->id != s->id && (f->id != FIELD_OTHER || str_equal_nocase(field_name(f), s->name)))"),
        Break(
            "if (f->id == s->id && (f->id != FIELD_OTHER || str_equal_nocase(field_name(f), s->name)))",
            "if (f->id == s->id || (f->id != FIELD_OTHER || str_equal_nocase(field_name(f), s->name)))"),
        Break("#define CODINGS_MOST 16", "#define CODINGS_MOST 17"),
        Break(
            "if (s.len == 0 || s.len > 5 || (s.ptr[0] != '0' && s.ptr[0] != '1') ||",
            "if (s.len != 0 || s.len > 5 || (s.ptr[0] != '0' && s.ptr[0] != '1') ||"),
        Break(
            "if (s.len == 0 || s.len > 5 || (s.ptr[0] != '0' && s.ptr[0] != '1') ||",
            "if (s.len == 0 || s.len > 5 || (s.ptr[0] == '0' && s.ptr[0] != '1') ||"),
        Break(
            "if (s.len == 0 || s.len > 5 || (s.ptr[0] != '0' && s.ptr[0] != '1') ||",
            "if (s.len == 0 || s.len > 5 && (s.ptr[0] != '0' && s.ptr[0] != '1') ||"),
        Break("(s.len > 1 && s.ptr[1] != '.'))", "(s.len >= 1 && s.ptr[1] != '.'))"),
        Break(
            "        (s.len > 1 && s.ptr[1] != '.'))\n        return false;",
            "        (s.len > 1 && s.ptr[1] != '.'))\n        return true;"),
        Break("coding->name = member;", ";"),
        Break("if (semicolon != NULL) {", "if (semicolon == NULL) {"),
        Break("weight.len -= coding->name.len;", ";"),
        Break("coding->name = str_trim(coding->name);", ";"),
        Break(
            "if (weight.len < 2 || ascii_lower(weight.ptr[0]) != 'q' || weight.ptr[1] != '=' ||",
            "if (weight.len < 2 || ascii_lower(weight.ptr[0]) == 'q' || weight.ptr[1] != '=' ||"),
        Break(
            "if (weight.len < 2 || ascii_lower(weight.ptr[0]) != 'q' || weight.ptr[1] != '=' ||",
            "if (weight.len < 2 || ascii_lower(weight.ptr[0]) != 'q' && weight.ptr[1] != '=' ||"),
        Break(
            "!read_weight(str_of(weight.ptr + 2, weight.len - 2), &coding->weight))",
            "!read_weight(str_of(weight.ptr + 3, weight.len - 2), &coding->weight))"),
        Break(
            "            !read_weight(str_of(weight.ptr + 2, weight.len - 2), &coding->weight))\n            return false;",
            "            !read_weight(str_of(weight.ptr + 2, weight.len - 2), &coding->weight))\n            return true;"),
        Break(
            "if (coding->name.len > CODING_NAME_MOST || !policy_is_token(coding->name))",
            "if (coding->name.len > CODING_NAME_MOST && !policy_is_token(coding->name))"),
        Break(
            "if (coding->name.len > CODING_NAME_MOST || !policy_is_token(coding->name))",
            "if (coding->name.len > CODING_NAME_MOST || policy_is_token(coding->name))"),
        Break("coding->name = str_of(coding->name.ptr + 2, coding->name.len - 2);", ";"),
        Break(
            "coding->name = str_of(coding->name.ptr + 2, coding->name.len - 2);",
            "coding->name = str_of(coding->name.ptr + 3, coding->name.len - 2);"),
        Break("coding->rank++;", ";"),
        Break(
            "if (a->rank != b->rank || a->rank < weir_count(usual_codings))",
            "if (a->rank == b->rank || a->rank < weir_count(usual_codings))"),
        Break(
            "if (a->rank != b->rank || a->rank < weir_count(usual_codings))",
            "if (a->rank != b->rank || a->rank <= weir_count(usual_codings))"),
        Break("if (difference != 0)", "if (difference == 0)"),
        Break("if (difference == 0)", "if (difference != 0)"),
        Break(
            "return coding->weight == codings->list[at - 1].weight;",
            "return coding->weight == codings->list[at - 0].weight;"),
        Break("memmove(&codings->list[at + 1], &codings->list[at],", "memmove(&codings->list[at + 0], &codings->list[at],"),
        Break("codings->count++;", ";"),
        Break(
            "if (coding->weight > 0 && coding->weight < least && !is_coding(coding, STR(\"identity\")))",
            "if (coding->weight > 0 || coding->weight < least && !is_coding(coding, STR(\"identity\")))"),
        Break("least = coding->weight;", ";"),
        Break(
            "if (identity ? coding.weight == 0 || coding.weight >= least : coding.weight > 0)",
            "if (identity ? coding.weight == 0 || coding.weight >= least : coding.weight >= 0)"),
        Break(
            "if (identity ? coding.weight == 0 || coding.weight >= least : coding.weight > 0)",
            "if (identity ? coding.weight == 0 || coding.weight > least : coding.weight > 0)"),
        Break("codings->count = kept;", ";"),
        Break(
            "if (!read_coding(member, &coding) || !add_coding(codings, &coding))",
            "if (read_coding(member, &coding) || !add_coding(codings, &coding))"),
        Break(
            "            if (!read_coding(member, &coding) || !add_coding(codings, &coding))\n                return false;",
            "            if (!read_coding(member, &coding) || !add_coding(codings, &coding))\n                return true;"),
        Break("append(out, &c, 1);", ";"),
        Break("append_lower(out, codings->list[i].name);", ";"),
        Break("if (weight == WEIGHT_ONE)", "if (weight != WEIGHT_ONE)"),
        Break("if (place == WEIGHT_ONE)", "if (place != WEIGHT_ONE)"),
        Break("append(out, &digit, 1);", ";"),
        Break("if (!read_codings(alone, &codings))", "if (read_codings(alone, &codings))"),
        Break(
            "        if (!read_codings(alone, &codings))\n            return false;",
            "        if (!read_codings(alone, &codings))\n            return true;"),
        Break("append_codings(&out, &codings);", ";"),
        Break("    if (rest->len == 0)\n        return false;", "    if (rest->len == 0)\n        return true;"),
        Break(
            "size_t value_len = entry->value_len == ABSENT ? 0 : entry->value_len;",
            "size_t value_len = entry->value_len != ABSENT ? 0 : entry->value_len;"),
        Break("    }\n    return false;", "    }\n    return true;"),
        Break("while (!reduced && str_list_next(&rest, &member)) {", "while (!reduced || str_list_next(&rest, &member)) {"),
        Break("while (!reduced && str_list_next(&rest, &member)) {", "while (reduced && str_list_next(&rest, &member)) {"),
        Break("if (out->len > start)", "if (out->len >= start)"),
        Break(
            "            if (str_equal(name, STR(\"*\")) || !policy_is_token(name) || name.len > UINT16_MAX)\n                return false;",
            "            if (str_equal(name, STR(\"*\")) || !policy_is_token(name) || name.len > UINT16_MAX)\n                return true;"),
        Break(
            "            if (++names > NAMES_MOST)\n                return false;",
            "            if (++names > NAMES_MOST)\n                return true;"),
        Break("append_entry(out, request, name);", ";"),
        Break(
            "            if (out->overflow)\n                return false;",
            "            if (out->overflow)\n                return true;"),
        Break(
            "if (rest->len < start.len || memcmp(rest->ptr, start.ptr, start.len) != 0)",
            "if (rest->len < start.len && memcmp(rest->ptr, start.ptr, start.len) != 0)"),
        Break("rest->len -= start.len;", ";"),
        Break("    rest->len -= start.len;\n    return true;", "    rest->len -= start.len;\n    return false;"),
        Break("if (!take(wanted, member))", "if (take(wanted, member))"),
        Break("if (line == NULL)", "if (line != NULL)"),
        Break("if (entry->value_len == ABSENT)", "if (entry->value_len != ABSENT)"),
        Break(
            "if (next == NULL && str_equal(field_value(line), wanted))",
            "if (next != NULL && str_equal(field_value(line), wanted))"),
        Break(
            "if (next == NULL && str_equal(field_value(line), wanted))",
            "if (next == NULL || str_equal(field_value(line), wanted))"),
        Break("if (next == NULL && recall(line, &reduced))", "if (next != NULL && recall(line, &reduced))"),
        Break("if (next == NULL && recall(line, &reduced))", "if (next == NULL || recall(line, &reduced))"),
        Break("if (!take_members(field_value(line), &wanted, &first))", "if (take_members(field_value(line), &wanted, &first))"),
        Break(
            "        if (!entry_matches(&entry, &s, value))\n            return false;",
            "        if (!entry_matches(&entry, &s, value))\n            return true;"),
        Break("if (digit > 9)", "if (digit > 10)"),
        Break("        if (i > 0)\n            append_lit(out, \", \");", "        if (i > 0)\n            ;"),
        Break("append_lit(out, \";q=0\");", ";"),
        Break("        if (out.overflow)\n            return false;", "        if (out.overflow)\n            return true;"),
        Break(
            "if (coding->weight > 0 && coding->weight < least && !is_coding(coding, STR(\"identity\")))",
            "if (coding->weight > 0 && coding->weight <= least && !is_coding(coding, STR(\"identity\")))",
            same="the least is set to the value that it has"),
        Break(
            "if (weight.len < 2 || ascii_lower(weight.ptr[0]) != 'q' || weight.ptr[1] != '=' ||",
            "if (weight.len < 3 || ascii_lower(weight.ptr[0]) != 'q' || weight.ptr[1] != '=' ||",
            same="\"q=\" alone has no weight behind it, which read_weight() refuses as well"),
        Break(
            "if (sent.len > REMEMBERED_BYTES)",
            "if (sent.len >= REMEMBERED_BYTES)",
            same="one length more is not remembered, but read each time, with the same result"),
        Break(
            "#define REMEMBERED 16",
            "#define REMEMBERED 17",
            same="how many are remembered changes how fast they are compared, not how"),
        Break(
            "    *reduced = str_of(row->reduced, row->reduced_len);\n    return true;",
            "    *reduced = str_of(row->reduced, row->reduced_len);\n    return false;",
            same="what is remembered is read anew, with the same result: it costs time alone"),
    ],
    "cache/key.c": [
        Break("out->overflow = true;", "out->overflow = false;"),
        Break("out->overflow = true;", ";"),
        Break("out->len += s.len;", ";"),
        Break(
            "while (colon > 0 && authority.ptr[colon - 1] >= '0' && authority.ptr[colon - 1] <= '9')",
            "while (colon > 0 && authority.ptr[colon - 1] > '0' && authority.ptr[colon - 1] <= '9')"),
        Break(
            "while (colon > 0 && authority.ptr[colon - 1] >= '0' && authority.ptr[colon - 1] <= '9')",
            "while (colon > 0 && authority.ptr[colon - 1] >= '0' && authority.ptr[colon - 0] <= '9')"),
        Break("*port = str_of(NULL, 0);", ";"),
        Break("if (colon == 0 || authority.ptr[colon - 1] != ':')", "if (colon != 0 || authority.ptr[colon - 1] != ':')"),
        Break("if (colon == 0 || authority.ptr[colon - 1] != ':')", "if (colon == 0 || authority.ptr[colon - 0] != ':')"),
        Break("*host = str_of(authority.ptr, colon - 1);", "*host = str_of(authority.ptr, colon - 0);"),
        Break("*port = str_of(authority.ptr + colon, authority.len - colon);", ";"),
        Break("if (host.len > 1 && host.ptr[host.len - 1] == '.')", "if (host.len > 1 && host.ptr[host.len - 0] == '.')"),
        Break("host.len--;", ";"),
        Break("append_lower(out, scheme);", ";"),
        Break("append_lit(out, \"://\");", ";"),
        Break("append_lower(out, host);", ";"),
        Break(
            "if (port.len > 0 && !str_equal(port, https ? STR(\"443\") : STR(\"80\"))) {",
            "if (port.len > 0 || !str_equal(port, https ? STR(\"443\") : STR(\"80\"))) {"),
        Break(
            "if (port.len > 0 && !str_equal(port, https ? STR(\"443\") : STR(\"80\"))) {",
            "if (port.len > 0 && str_equal(port, https ? STR(\"443\") : STR(\"80\"))) {"),
        Break(
            "if (port.len > 0 && !str_equal(port, https ? STR(\"443\") : STR(\"80\"))) {",
            "if (port.len > 0 && !str_equal(port, https ? STR(\"444\") : STR(\"80\"))) {"),
        Break("append_str(out, port);", ";"),
        Break("if (target.len == 0 || target.ptr[0] == '?')", "if (target.len != 0 || target.ptr[0] == '?')"),
        Break("if (target.len == 0 || target.ptr[0] == '?')", "if (target.len == 0 && target.ptr[0] == '?')"),
        Break("append_lit(out, \"/\");", ";"),
        Break("append_str(out, target);", ";"),
        Break("key->check = hash.high64;", ";"),
        Break("scheme = STR(\"http\");", ";"),
        Break("scheme = STR(\"https\");", ";"),
        Break("    else\n        return false;", "    else\n        return true;"),
        Break("rest.len = (size_t)(fragment - rest.ptr);", ";"),
        Break(
            "while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?')",
            "while (end < rest.len || rest.ptr[end] != '/' && rest.ptr[end] != '?')"),
        Break("end++;", ";"),
        Break(
            "    struct str target = str_of(rest.ptr + end, rest.len - end);\n    struct str host, port;\n    split_authority(authority, &host, &port);",
            "    struct str target = str_of(rest.ptr + end, rest.len - end);\n    struct str host, port;\n    ;"),
        Break(
            "if (host.len == 0 || memchr(authority.ptr, '@', authority.len) != NULL)",
            "if (host.len != 0 || memchr(authority.ptr, '@', authority.len) != NULL)"),
        Break(
            "if (host.len == 0 || memchr(authority.ptr, '@', authority.len) != NULL)",
            "if (host.len == 0 || memchr(authority.ptr, '@', authority.len) == NULL)"),
        Break("cache_key_write(out, scheme, authority, target);", ";"),
        Break("return !out->overflow;", "return out->overflow;"),
    ],
    "cache/policy_response.c": [
        Break("given->there = true;", ";"),
        Break("given->value_s = value_s;", ";"),
        Break("said->no_store = true;", "said->no_store = false;"),
        Break("said->no_store = true;", ";"),
        Break("said->private = true;", ";"),
        Break("said->no_cache = true;", "said->no_cache = false;"),
        Break("said->public |= !d->malformed;", ";"),
        Break("said->must_revalidate = true;", ";"),
        Break("said->proxy_revalidate = true;", ";"),
        Break("said->must_understand = true;", "said->must_understand = false;"),
        Break("said->has_s_maxage |= delta_s >= 0;", "said->has_s_maxage |= delta_s > 0;"),
        Break("said->has_vary = true;", "said->has_vary = false;"),
        Break("said->has_vary = true;", ";"),
        Break("said->vary_star = true;", "said->vary_star = false;"),
        Break("said->vary_star = true;", ";"),
        Break("else if (!policy_is_token(member))", "else if (policy_is_token(member))"),
        Break("said->malformed = true;", "said->malformed = false;"),
        Break("*said = (struct said){0};", ";"),
        Break("case FIELD_CACHE_CONTROL:\n            read_control(value, said);", "read_control(value, said);"),
        Break("case FIELD_AGE:\n            read_age(value, said);", "read_age(value, said);"),
        Break("case FIELD_VARY:\n            read_vary(value, said);", "read_vary(value, said);"),
        Break("read_vary(value, said);", ";"),
        Break("if (!date_parse(value, wall_now_s, &expires_s))", "if (date_parse(value, wall_now_s, &expires_s))"),
        Break(
            "if (said->expires.there && said->expires.value_s != expires_s)",
            "if (said->expires.there || said->expires.value_s != expires_s)"),
        Break("said->expires = (struct given){true, expires_s};", "said->expires = (struct given){false, expires_s};"),
        Break("said->has_modified = date_parse(value, wall_now_s, &said->modified_s);", ";"),
        Break("case FIELD_ETAG:\n            said->has_etag |= value.len > 0;", "said->has_etag |= value.len > 0;"),
        Break("said->has_etag |= value.len > 0;", "said->has_etag |= value.len >= 0;"),
        Break("said->has_etag |= value.len > 0;", ";"),
        Break("case FIELD_SET_COOKIE:\n            said->set_cookie = true;", "said->set_cookie = true;"),
        Break("said->set_cookie = true;", "said->set_cookie = false;"),
        Break("case 200:\n    case 203:", "case 203:"),
        Break("case 203:\n    case 204:", "case 204:"),
        Break("case 301:", "case 302:"),
        Break("case 404:\n    case 405:", "case 405:"),
        Break("case 405:\n    case 410:", "case 410:"),
        Break("case 405:", "case 406:"),
        Break("case 410:\n    case 414:", "case 414:"),
        Break("case 501:\n        return true;", "return true;"),
        Break("return true;", "return false;"),
        Break("return false;", "return true;"),
        Break(
            "return (status >= 200 && status <= 205) || (status >= 300 && status <= 303) || status == 305 ||",
            "return (status >= 200 && status <= 205) || (status >= 300 && status < 303) || status == 305 ||"),
        Break(
            "return (status >= 200 && status <= 205) || (status >= 300 && status <= 303) || status == 305 ||",
            "return (status > 200 && status <= 205) || (status >= 300 && status <= 303) || status == 305 ||"),
        Break(
            "return (status >= 200 && status <= 205) || (status >= 300 && status <= 303) || status == 305 ||",
            "return (status >= 200 && status <= 205) || (status > 300 && status <= 303) || status == 305 ||"),
        Break(
            "return (status >= 200 && status <= 205) || (status >= 300 && status <= 303) || status == 305 ||",
            "return (status >= 200 || status <= 205) || (status >= 300 && status <= 303) || status == 305 ||"),
        Break(
            "status == 307 || status == 308 || (status >= 400 && status <= 411) ||",
            "status != 307 || status == 308 || (status >= 400 && status <= 411) ||"),
        Break(
            "status == 307 || status == 308 || (status >= 400 && status <= 411) ||",
            "status == 307 || status == 308 || (status > 400 && status <= 411) ||"),
        Break(
            "status == 307 || status == 308 || (status >= 400 && status <= 411) ||",
            "status == 307 && status == 308 || (status >= 400 && status <= 411) ||"),
        Break(
            "status == 307 || status == 308 || (status >= 400 && status <= 411) ||",
            "status == 308 || status == 308 || (status >= 400 && status <= 411) ||"),
        Break(
            "(status >= 413 && status <= 415) || status == 417 || status == 421 || status == 422 ||",
            "(status >= 413 && status <= 415) || status == 417 || status == 421 || status != 422 ||"),
        Break(
            "(status >= 413 && status <= 415) || status == 417 || status == 421 || status == 422 ||",
            "(status >= 413 && status < 415) || status == 417 || status == 421 || status == 422 ||"),
        Break(
            "(status >= 413 && status <= 415) || status == 417 || status == 421 || status == 422 ||",
            "(status >= 413 && status <= 415) || status == 417 && status == 421 || status == 422 ||"),
        Break(
            "(status >= 413 && status <= 415) || status == 417 || status == 421 || status == 422 ||",
            "(status >= 413 && status <= 415) || status == 417 || status == 421 && status == 422 ||"),
        Break("status == 426 || (status >= 500 && status <= 505);", "status == 427 || (status >= 500 && status <= 505);"),
        Break("if (status == 206 || status == 416)", "if (status != 206 || status == 416)"),
        Break("if (status == 206 || status == 416)", "if (status == 206 && status == 416)"),
        Break("if (status < 200 || status == 304 || status == 412)", "if (status < 200 || status == 304 || status != 412)"),
        Break("if (status < 200 || status == 304 || status == 412)", "if (status <= 200 || status == 304 || status == 412)"),
        Break("if (status < 200 || status == 304 || status == 412)", "if (status < 200 && status == 304 || status == 412)"),
        Break("if (status < 200 || status == 304 || status == 412)", "if (status < 200 || status == 304 && status == 412)"),
        Break(
            "int64_t corrected_ms = said->age_s * 1000 + (response_delay_ms > 0 ? response_delay_ms : 0);",
            "int64_t corrected_ms = said->age_s * 1001 + (response_delay_ms > 0 ? response_delay_ms : 0);"),
        Break(
            "int64_t apparent_ms = apparent_age_s(said, exchange->wall_now_s) * 1000;",
            "int64_t apparent_ms = apparent_age_s(said, exchange->wall_now_s) * 1001;"),
        Break(
            "return said->s_maxage.there || said->max_age.there || said->expires.there;",
            "return said->s_maxage.there && said->max_age.there || said->expires.there;"),
        Break(
            "return said->s_maxage.there || said->max_age.there || said->expires.there;",
            "return said->s_maxage.there || said->max_age.there && said->expires.there;"),
        Break("int64_t lifetime_s = ttl_s + age_ms / 1000;", "int64_t lifetime_s = ttl_s + age_ms / 999;"),
        Break(
            "if (!said->has_modified || said->modified_s >= said->date_s)",
            "if (said->has_modified || said->modified_s >= said->date_s)"),
        Break("if (!exchange->route->enabled)", "if (exchange->route->enabled)"),
        Break("if (exchange->method != METHOD_GET)", "if (exchange->method == METHOD_GET)"),
        Break("if (by_status != POLICY_STORE)", "if (by_status == POLICY_STORE)"),
        Break(
            "if (said->must_understand && !is_understood(exchange->status))",
            "if (said->must_understand || !is_understood(exchange->status))"),
        Break(
            "if (said->must_understand && !is_understood(exchange->status))",
            "if (said->must_understand && is_understood(exchange->status))"),
        Break("if (said->no_store && !said->must_understand)", "if (said->no_store || !said->must_understand)"),
        Break("if (said->no_store && !said->must_understand)", "if (said->no_store && said->must_understand)"),
        Break(
            "if (exchange->request->authorization && !said->public && !said->has_s_maxage &&",
            "if (exchange->request->authorization || !said->public && !said->has_s_maxage &&"),
        Break(
            "if (exchange->request->authorization && !said->public && !said->has_s_maxage &&",
            "if (exchange->request->authorization && !said->public || !said->has_s_maxage &&"),
        Break(
            "if (exchange->request->authorization && !said->public && !said->has_s_maxage &&",
            "if (exchange->request->authorization && said->public && !said->has_s_maxage &&"),
        Break(
            "if (exchange->request->authorization && !said->public && !said->has_s_maxage &&",
            "if (exchange->request->authorization && !said->public && said->has_s_maxage &&"),
        Break("lifetime_s = explicit_lifetime_s(said);", ";"),
        Break(
            "if (said->set_cookie && (lifetime_s == 0 || said->no_cache))",
            "if (said->set_cookie || (lifetime_s == 0 || said->no_cache))"),
        Break("lifetime_s = granted_lifetime_s(exchange, said, age_ms);", ";"),
        Break("meta->flags |= CACHE_HEURISTIC;", ";"),
        Break(
            "bool asked_first = said->no_cache || age_ms >= lifetime_s * 1000;",
            "bool asked_first = said->no_cache || age_ms > lifetime_s * 1000;"),
        Break(
            "bool asked_first = said->no_cache || age_ms >= lifetime_s * 1000;",
            "bool asked_first = said->no_cache || age_ms >= lifetime_s * 1001;"),
        Break(
            "if (asked_first && !(meta->flags & CACHE_HAS_VALIDATOR))",
            "if (asked_first || !(meta->flags & CACHE_HAS_VALIDATOR))"),
        Break("meta->lifetime_s = (uint32_t)lifetime_s;", ";"),
        Break(
            "if (said->must_revalidate || said->proxy_revalidate || said->s_maxage.there)",
            "if (said->must_revalidate && said->proxy_revalidate || said->s_maxage.there)"),
        Break("flags |= CACHE_HAS_VARY;", ";"),
        Break(
            "if (said->public || said->has_s_maxage || said->must_revalidate)",
            "if (said->public && said->has_s_maxage || said->must_revalidate)"),
        Break(
            "if (said->public || said->has_s_maxage || said->must_revalidate)",
            "if (said->public || said->has_s_maxage && said->must_revalidate)"),
        Break("read_response(exchange->fields, exchange->wall_now_s, &said);", ";"),
        Break(
            "take_given(&said->max_age, delta_s >= 0, delta_s);",
            "take_given(&said->max_age, delta_s > 0, delta_s);",
            same="0 is what an invalid value counts as"),
        Break(
            "if (!said->has_modified || said->modified_s >= said->date_s)",
            "if (!said->has_modified || said->modified_s > said->date_s)",
            same="the share of no time is no time"),
        Break(
            "if (said->expires.value_s <= said->date_s)",
            "if (said->expires.value_s < said->date_s)",
            same="the difference of equal times is 0 as well"),
        Break(
            "return corrected_ms > apparent_ms ? corrected_ms : apparent_ms;",
            "return corrected_ms >= apparent_ms ? corrected_ms : apparent_ms;",
            same="of equal ones either is the greater"),
    ],
    "cache/policy_conditions.c": [
        Break(
            "size_t start = rest->len >= 2 && rest->ptr[0] == 'W' && rest->ptr[1] == '/' ? 2 : 0;",
            "size_t start = rest->len >= 2 && rest->ptr[0] != 'W' && rest->ptr[1] == '/' ? 2 : 0;"),
        Break("if (start >= rest->len || rest->ptr[start] != '\"')", "if (start >= rest->len || rest->ptr[start] == '\"')"),
        Break("rest->len -= taken;", ";"),
        Break("return c == ' ' || c == '\\t' || c == ',';", "return c == ' ' && c == '\\t' || c == ',';"),
        Break("return c == ' ' || c == '\\t' || c == ',';", "return c == ' ' || c == '\\t' && c == ',';"),
        Break("rest->ptr += count;", ";"),
        Break("while (list.len > 0) {", "while (list.len >= 0) {"),
        Break(
            "        if (is_separator(list.ptr[0])) {\n            skip(&list, 1);",
            "        if (is_separator(list.ptr[0])) {\n            ;"),
        Break(
            "bool matches = take_opaque_tag(&list, &tag) && str_equal(tag, stored);",
            "bool matches = take_opaque_tag(&list, &tag) || str_equal(tag, stored);"),
        Break("while (list.len > 0 && list.ptr[0] != ',') {", "while (list.len > 0 && list.ptr[0] == ',') {"),
        Break(
            "matches &= list.ptr[0] == ' ' || list.ptr[0] == '\\t';",
            "matches &= list.ptr[0] != ' ' || list.ptr[0] == '\\t';"),
        Break(
            "matches &= list.ptr[0] == ' ' || list.ptr[0] == '\\t';",
            "matches &= list.ptr[0] == ' ' && list.ptr[0] == '\\t';"),
        Break("matches &= list.ptr[0] == ' ' || list.ptr[0] == '\\t';", ";"),
        Break(
            "            matches &= list.ptr[0] == ' ' || list.ptr[0] == '\\t';\n            skip(&list, 1);",
            "            matches &= list.ptr[0] == ' ' || list.ptr[0] == '\\t';\n            ;"),
        Break("        if (matches)\n            return true;", "        if (matches)\n            return false;"),
        Break(
            "        if (matches)\n            return true;\n    }\n    return false;",
            "        if (matches)\n            return true;\n    }\n    return true;"),
        Break(
            "bool has_tag = etag.ptr != NULL && take_opaque_tag(&etag, &stored) && etag.len == 0;",
            "bool has_tag = etag.ptr != NULL || take_opaque_tag(&etag, &stored) && etag.len == 0;"),
        Break("if (f->id != FIELD_IF_NONE_MATCH)", "if (f->id == FIELD_IF_NONE_MATCH)"),
        Break(
            "if (lines == 1 && str_equal(str_trim(field_value(f)), STR(\"*\")))",
            "if (lines == 1 || str_equal(str_trim(field_value(f)), STR(\"*\")))"),
        Break(
            "        if (lines == 1 && str_equal(str_trim(field_value(f)), STR(\"*\")))\n            return true;",
            "        if (lines == 1 && str_equal(str_trim(field_value(f)), STR(\"*\")))\n            return false;"),
        Break("if (has_tag && list_has_tag(field_value(f), stored))", "if (has_tag || list_has_tag(field_value(f), stored))"),
        Break(
            "        if (has_tag && list_has_tag(field_value(f), stored))\n            return true;",
            "        if (has_tag && list_has_tag(field_value(f), stored))\n            return false;"),
        Break("if (modified.ptr == NULL)", "if (modified.ptr != NULL)"),
        Break("modified = cache_block_field(block, FIELD_DATE);", ";"),
        Break(
            "return modified.ptr != NULL && date_parse(str_trim(since), wall_now_s, &since_s) &&",
            "return modified.ptr == NULL && date_parse(str_trim(since), wall_now_s, &since_s) &&"),
        Break(
            "date_parse(modified, wall_now_s, &modified_s) && modified_s <= since_s;",
            "date_parse(modified, wall_now_s, &modified_s) || modified_s <= since_s;"),
        Break("} else if (f->id == FIELD_IF_MODIFIED_SINCE) {", "} else if (f->id != FIELD_IF_MODIFIED_SINCE) {"),
        Break("since = f;", ";"),
        Break("since_lines++;", ";"),
        Break(
            "    if (none_match_lines + since_lines == 0)\n        return false;",
            "    if (none_match_lines + since_lines == 0)\n        return true;"),
        Break(
            "if (status != 200 || (method != METHOD_GET && method != METHOD_HEAD))",
            "if (status == 200 || (method != METHOD_GET && method != METHOD_HEAD))"),
        Break(
            "if (status != 200 || (method != METHOD_GET && method != METHOD_HEAD))",
            "if (status != 200 || (method != METHOD_GET || method != METHOD_HEAD))"),
        Break(
            "if (status != 200 || (method != METHOD_GET && method != METHOD_HEAD))",
            "if (status != 201 || (method != METHOD_GET && method != METHOD_HEAD))"),
        Break(
            "    if (status != 200 || (method != METHOD_GET && method != METHOD_HEAD))\n        return false;",
            "    if (status != 200 || (method != METHOD_GET && method != METHOD_HEAD))\n        return true;"),
        Break(
            "return since_lines == 1 && modified_since_fails(field_value(since), block, wall_now_s);",
            "return since_lines != 1 && modified_since_fails(field_value(since), block, wall_now_s);"),
    ],
    "cache/policy_freshen.c": [
        Break(
            "if (!str_equal_nocase(value, STR(\"keep-alive\")) && !str_equal_nocase(value, STR(\"close\")))",
            "if (!str_equal_nocase(value, STR(\"keep-alive\")) || !str_equal_nocase(value, STR(\"close\")))"),
        Break(
            "if (!str_equal_nocase(value, STR(\"keep-alive\")) && !str_equal_nocase(value, STR(\"close\")))",
            "if (str_equal_nocase(value, STR(\"keep-alive\")) && !str_equal_nocase(value, STR(\"close\")))"),
        Break(
            "if (!str_equal_nocase(value, STR(\"keep-alive\")) && !str_equal_nocase(value, STR(\"close\")))",
            "if (!str_equal_nocase(value, STR(\"keep-alive\")) && str_equal_nocase(value, STR(\"close\")))"),
        Break(
            "            return fields_named_in_connection(fields, field_name(f));\n    }\n    return false;",
            "            return fields_named_in_connection(fields, field_name(f));\n    }\n    return true;"),
        Break("case FIELD_CONNECTION:\n    case FIELD_KEEP_ALIVE:", "case FIELD_KEEP_ALIVE:"),
        Break("case FIELD_UPGRADE:\n    case FIELD_PROXY_AUTHENTICATE:", "case FIELD_PROXY_AUTHENTICATE:"),
        Break("case FIELD_PROXY_AUTHENTICATE:\n    case FIELD_PROXY_AUTHORIZATION:", "case FIELD_PROXY_AUTHORIZATION:"),
        Break("case FIELD_PROXY_AUTHORIZATION:\n    case FIELD_AGE:", "case FIELD_AGE:"),
        Break("case FIELD_CONTENT_LENGTH:\n        return false;", "return false;"),
        Break(
            "        if (str_equal_nocase(field_name(f), STR(\"Proxy-Authentication-Info\")))\n            return false;",
            "        if (str_equal_nocase(field_name(f), STR(\"Proxy-Authentication-Info\")))\n            return true;"),
        Break("return !is_named_in_connection(fields, f);", "return is_named_in_connection(fields, f);"),
        Break("if (rest->len == 0)", "if (rest->len != 0)"),
        Break(
            "struct str value = str_trim(str_of(colon + 1, (size_t)(end - 1 - (colon + 1))));",
            "struct str value = str_trim(str_of(colon + 0, (size_t)(end - 1 - (colon + 1))));"),
        Break("rest->len -= (size_t)(end + 1 - rest->ptr);", ";"),
        Break("rest->ptr = end + 1;", "rest->ptr = end + 0;"),
        Break("    rest->ptr = end + 1;\n    return true;", "    rest->ptr = end + 1;\n    return false;"),
        Break(
            "if (etag.len >= 2 && etag.ptr[0] == 'W' && etag.ptr[1] == '/')",
            "if (etag.len >= 2 && etag.ptr[0] != 'W' && etag.ptr[1] == '/')"),
        Break(
            "if (etag.len >= 2 && etag.ptr[0] == 'W' && etag.ptr[1] == '/')",
            "if (etag.len >= 2 && etag.ptr[0] == 'W' && etag.ptr[1] != '/')"),
        Break(
            "if (etag.len >= 2 && etag.ptr[0] == 'W' && etag.ptr[1] == '/')",
            "if (etag.len >= 2 || etag.ptr[0] == 'W' && etag.ptr[1] == '/')"),
        Break(
            "if (etag.len >= 2 && etag.ptr[0] == 'W' && etag.ptr[1] == '/')",
            "if (etag.len >= 2 && etag.ptr[0] == 'W' || etag.ptr[1] == '/')"),
        Break(
            "while (line.id == FIELD_VARY && str_list_next(&rest, &member)) {",
            "while (line.id != FIELD_VARY && str_list_next(&rest, &member)) {"),
        Break(
            "while (line.id == FIELD_VARY && str_list_next(&rest, &member)) {",
            "while (line.id == FIELD_VARY || str_list_next(&rest, &member)) {"),
        Break("                return true;", "                return false;"),
        Break("        }\n    }\n    return false;", "        }\n    }\n    return true;"),
        Break("if (f->id == FIELD_ETAG) {", "if (f->id != FIELD_ETAG) {"),
        Break(
            "if (etag.ptr == NULL || !str_equal(opaque_tag(etag), opaque_tag(rest)))",
            "if (etag.ptr != NULL || !str_equal(opaque_tag(etag), opaque_tag(rest)))"),
        Break(
            "if (etag.ptr == NULL || !str_equal(opaque_tag(etag), opaque_tag(rest)))",
            "if (etag.ptr == NULL && !str_equal(opaque_tag(etag), opaque_tag(rest)))"),
        Break(
            "if (etag.ptr == NULL || !str_equal(opaque_tag(etag), opaque_tag(rest)))",
            "if (etag.ptr == NULL || str_equal(opaque_tag(etag), opaque_tag(rest)))"),
        Break(
            "while (f->id == FIELD_VARY && str_list_next(&rest, &member)) {",
            "while (f->id != FIELD_VARY && str_list_next(&rest, &member)) {"),
        Break("if (!block_varies_by(stored, member))", "if (block_varies_by(stored, member))"),
        Break("    }\n    return true;", "    }\n    return false;"),
        Break(
            "if (f->id == FIELD_CONTENT_RANGE || f->id == FIELD_VARY)",
            "if (f->id != FIELD_CONTENT_RANGE || f->id == FIELD_VARY)"),
        Break(
            "if (f->id == FIELD_CONTENT_RANGE || f->id == FIELD_VARY)",
            "if (f->id == FIELD_CONTENT_RANGE && f->id == FIELD_VARY)"),
        Break(
            "if (f->id == FIELD_OTHER && str_equal_nocase(field_name(f), STR(\"Content-Encoding\")))",
            "if (f->id != FIELD_OTHER && str_equal_nocase(field_name(f), STR(\"Content-Encoding\")))"),
        Break(
            "    if (f->id == FIELD_OTHER && str_equal_nocase(field_name(f), STR(\"Content-Encoding\")))\n        return false;",
            "    if (f->id == FIELD_OTHER && str_equal_nocase(field_name(f), STR(\"Content-Encoding\")))\n        return true;"),
        Break(
            "if (f->id == line->id && f->name_len == line->name_len &&",
            "if (f->id != line->id && f->name_len == line->name_len &&"),
        Break(
            "if (f->id == line->id && f->name_len == line->name_len &&",
            "if (f->id == line->id && f->name_len != line->name_len &&"),
        Break(
            "if (f->id == line->id && f->name_len == line->name_len &&",
            "if (f->id == line->id || f->name_len == line->name_len &&"),
        Break(
            "str_equal_nocase(field_name(f), field_name(line)) && is_updated(not_modified, f))",
            "str_equal_nocase(field_name(f), field_name(line)) || is_updated(not_modified, f))"),
        Break(
            "            str_equal_nocase(field_name(f), field_name(line)) && is_updated(not_modified, f))\n            return true;",
            "            str_equal_nocase(field_name(f), field_name(line)) && is_updated(not_modified, f))\n            return false;"),
        Break("            return true;\n    }\n    return false;", "            return true;\n    }\n    return true;"),
        Break("append_lit(out, \"\\r\\n\");", ";"),
        Break("if (!is_about(stored, not_modified))", "if (is_about(stored, not_modified))"),
        Break(
            "    if (!is_about(stored, not_modified))\n        return false;",
            "    if (!is_about(stored, not_modified))\n        return true;"),
        Break("return !out->overflow;", "return out->overflow;"),
    ],
}
