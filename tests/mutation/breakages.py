"""The breakages that run.py makes: by file, the exact text, which is there once, and what is put in its place.

`stories` names those of tests/story/ (of another folder with its name before a "/") that notice it where no unit test can;
`same` says why it changes nothing that anyone could notice.
"""

from typing import NamedTuple


class Break(NamedTuple):
    old: str
    new: str
    stories: str = ""
    same: str = ""


BREAKAGES = {
    "cache/vary.c": [
        Break("while (s->at < s->request.count) {", "while (s->at <= s->request.count) {"),
        Break(
            "if (f->id == s->id && (f->id != FIELD_OTHER || str_equal_nocase(field_name(f), s->name)))",
            "if (f->id == s->id && (f->id == FIELD_OTHER || str_equal_nocase(field_name(f), s->name)))"),
        Break("#define CODING_NAME_MOST 32", "#define CODING_NAME_MOST 33"),
        Break(
            "if (s.len == 0 || s.len > 5 || (s.ptr[0] != '0' && s.ptr[0] != '1') ||",
            "if (s.len == 0 || s.len > 5 && (s.ptr[0] != '0' && s.ptr[0] != '1') ||"),
        Break(
            "if (s.len == 0 || s.len > 5 || (s.ptr[0] != '0' && s.ptr[0] != '1') ||",
            "if (s.len == 0 || s.len > 6 || (s.ptr[0] != '0' && s.ptr[0] != '1') ||"),
        Break(
            "if (s.len == 0 || s.len > 5 || (s.ptr[0] != '0' && s.ptr[0] != '1') ||",
            "if (s.len == 0 || s.len >= 5 || (s.ptr[0] != '0' && s.ptr[0] != '1') ||"),
        Break(
            "if (s.len == 0 || s.len > 5 || (s.ptr[0] != '0' && s.ptr[0] != '1') ||",
            "if (s.len == 0 && s.len > 5 || (s.ptr[0] != '0' && s.ptr[0] != '1') ||"),
        Break(
            "        (s.len > 1 && s.ptr[1] != '.'))\n        return false;",
            "        (s.len > 1 && s.ptr[1] != '.'))\n        return true;"),
        Break("(s.len > 1 && s.ptr[1] != '.'))", "(s.len > 1 && s.ptr[1] == '.'))"),
        Break("*weight = s.ptr[0] == '1' ? WEIGHT_ONE : 0;", ";"),
        Break("if (digit > 9)", "if (digit >= 9)"),
        Break("if (digit > 9)", "if (digit > 10)"),
        Break("return *weight <= WEIGHT_ONE;", "return *weight < WEIGHT_ONE;"),
        Break("weight = str_trim(weight);", ";"),
        Break(
            "if (weight.len < 2 || ascii_lower(weight.ptr[0]) != 'q' || weight.ptr[1] != '=' ||",
            "if (weight.len < 2 || ascii_lower(weight.ptr[0]) == 'q' || weight.ptr[1] != '=' ||"),
        Break(
            "if (weight.len < 2 || ascii_lower(weight.ptr[0]) != 'q' || weight.ptr[1] != '=' ||",
            "if (weight.len < 2 && ascii_lower(weight.ptr[0]) != 'q' || weight.ptr[1] != '=' ||"),
        Break(
            "if (coding->name.len > CODING_NAME_MOST || !policy_is_token(coding->name))",
            "if (coding->name.len > CODING_NAME_MOST || policy_is_token(coding->name))"),
        Break(
            "coding->name = str_of(coding->name.ptr + 2, coding->name.len - 2);",
            "coding->name = str_of(coding->name.ptr + 3, coding->name.len - 2);"),
        Break("coding->name = str_of(coding->name.ptr + 2, coding->name.len - 2);", ";"),
        Break("coding->rank = 0;", ";"),
        Break(
            "!str_equal_nocase(coding->name, usual_codings[coding->rank]))",
            "str_equal_nocase(coding->name, usual_codings[coding->rank]))"),
        Break(
            "while (at > 0 && (difference = compare_codings(coding, &codings->list[at - 1])) < 0)",
            "while (at > 0 && (difference = compare_codings(coding, &codings->list[at - 1])) <= 0)"),
        Break(
            "while (at > 0 && (difference = compare_codings(coding, &codings->list[at - 1])) < 0)",
            "while (at >= 0 && (difference = compare_codings(coding, &codings->list[at - 1])) < 0)"),
        Break(
            "while (at > 0 && (difference = compare_codings(coding, &codings->list[at - 1])) < 0)",
            "while (at > 0 && (difference = compare_codings(coding, &codings->list[at - 0])) < 0)"),
        Break(
            "return coding->weight == codings->list[at - 1].weight;",
            "return coding->weight == codings->list[at - 0].weight;"),
        Break("codings->count++;", ";"),
        Break(
            "if (coding->weight > 0 && coding->weight < least && !is_coding(coding, STR(\"identity\")))",
            "if (coding->weight > 0 || coding->weight < least && !is_coding(coding, STR(\"identity\")))"),
        Break(
            "if (coding->weight > 0 && coding->weight < least && !is_coding(coding, STR(\"identity\")))",
            "if (coding->weight > 0 && coding->weight < least || !is_coding(coding, STR(\"identity\")))"),
        Break("least = coding->weight;", ";"),
        Break(
            "if (identity ? coding.weight == 0 || coding.weight >= least : coding.weight > 0)",
            "if (identity ? coding.weight == 0 || coding.weight >= least : coding.weight >= 0)"),
        Break("codings->count = kept;", ";"),
        Break("append(out, &digit, 1);", ";"),
        Break(
            "        if (!read_codings(alone, &codings))\n            return false;",
            "        if (!read_codings(alone, &codings))\n            return true;"),
        Break("row->reduced_len = out.overflow ? 0 : (uint8_t)out.len;", ";"),
        Break("if (rest->len == 0)", "if (rest->len != 0)"),
        Break(
            "size_t value_len = entry->value_len == ABSENT ? 0 : entry->value_len;",
            "size_t value_len = entry->value_len != ABSENT ? 0 : entry->value_len;"),
        Break("*name = str_of(rest->ptr + sizeof(*entry), entry->name_len);", ";"),
        Break("rest->ptr += taken;", ";"),
        Break("    rest->len -= taken;\n    return true;", "    rest->len -= taken;\n    return false;"),
        Break("rest->len -= taken;", ";"),
        Break("    }\n    return false;", "    }\n    return true;"),
        Break("while (!reduced && str_list_next(&rest, &member)) {", "while (reduced && str_list_next(&rest, &member)) {"),
        Break("                append_lit(out, \", \");", "                ;"),
        Break("append_str(out, member);", ";"),
        Break("if (entry->value_len != ABSENT)", "if (entry->value_len == ABSENT)"),
        Break("append_lower(out, name);", ";"),
        Break(
            "while (f->id == FIELD_VARY && str_list_next(&rest, &name)) {",
            "while (f->id != FIELD_VARY && str_list_next(&rest, &name)) {"),
        Break(
            "while (f->id == FIELD_VARY && str_list_next(&rest, &name)) {",
            "while (f->id == FIELD_VARY || str_list_next(&rest, &name)) {"),
        Break(
            "            if (++names > NAMES_MOST)\n                return false;",
            "            if (++names > NAMES_MOST)\n                return true;"),
        Break(
            "        .request = request, .name = name, .id = field_identify(name.ptr, name.len)};\n    append_value(out, &s, &entry);",
            "        .request = request, .name = name, .id = field_identify(name.ptr, name.len)};\n    ;"),
        Break(
            "if (rest->len < start.len || memcmp(rest->ptr, start.ptr, start.len) != 0)",
            "if (rest->len < start.len || memcmp(rest->ptr, start.ptr, start.len) == 0)"),
        Break("rest->ptr += start.len;", ";"),
        Break("if (!*first && !take(wanted, STR(\", \")))", "if (!*first && take(wanted, STR(\", \")))"),
        Break("*first = false;", "*first = true;"),
        Break("*first = false;", ";"),
        Break(
            "if (next == NULL && str_equal(field_value(line), wanted))",
            "if (next == NULL || str_equal(field_value(line), wanted))"),
        Break("bool first = true;", "bool first = false;"),
        Break(
            "for (; line != NULL; line = next, next = next ? next_line(s) : NULL) {",
            "for (; line == NULL; line = next, next = next ? next_line(s) : NULL) {"),
        Break("return wanted.len == 0;", "return wanted.len != 0;"),
        Break("            return false;\n    }\n    return true;", "            return false;\n    }\n    return false;"),
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
    "cache/index.c": [
        Break("shard->buckets = base_alloc_zero(BUCKETS_FIRST * sizeof(shard->buckets[0]));", ";"),
        Break("shard->ghost = base_alloc_zero(BUCKETS_FIRST * sizeof(shard->ghost[0]));", ";"),
        Break("list_init(&shard->fills[i]);", ";"),
        Break("list_init(&shard->main);", ";"),
        Break("cache_budget_free(cache, shard->ghost);", ";"),
        Break("same = o;", ";"),
        Break(
            "    } else if (length >= CACHE_CHAIN_MOST) {\n        shard->counts.evicted++;",
            "    } else if (length >= CACHE_CHAIN_MOST) {\n        ;"),
        Break(
            "while (other != NULL && read_date(other, &other_s) && other_s > date_s) {",
            "while (other != NULL && read_date(other, &other_s) && other_s >= date_s) {"),
        Break("shard->objects++;", ";"),
        Break("memset(buckets, 0, size * sizeof(buckets[0]));", ";"),
        Break("if (buckets != NULL && ghost != NULL) {", "if (buckets == NULL && ghost != NULL) {"),
        Break("shard->buckets = buckets;", ";"),
        Break("ghost = old_ghost;", ";"),
        Break("list_push_front(cache_index_fills(shard, &fill->key), &fill->link);", ";"),
    ],
    "cache/key.c": [
        Break(
            "while (colon > 0 && authority.ptr[colon - 1] >= '0' && authority.ptr[colon - 1] <= '9')",
            "while (colon > 0 && authority.ptr[colon - 1] > '0' && authority.ptr[colon - 1] <= '9')"),
        Break(
            "while (colon > 0 && authority.ptr[colon - 1] >= '0' && authority.ptr[colon - 1] <= '9')",
            "while (colon > 0 || authority.ptr[colon - 1] >= '0' && authority.ptr[colon - 1] <= '9')"),
        Break(
            "while (colon > 0 && authority.ptr[colon - 1] >= '0' && authority.ptr[colon - 1] <= '9')",
            "while (colon > 0 && authority.ptr[colon - 1] >= '0' || authority.ptr[colon - 1] <= '9')"),
        Break(
            "while (colon > 0 && authority.ptr[colon - 1] >= '0' && authority.ptr[colon - 1] <= '9')",
            "while (colon > 0 && authority.ptr[colon - 0] >= '0' && authority.ptr[colon - 1] <= '9')"),
        Break(
            "while (colon > 0 && authority.ptr[colon - 1] >= '0' && authority.ptr[colon - 1] <= '9')",
            "while (colon > 0 && authority.ptr[colon - 1] >= '0' && authority.ptr[colon - 1] <= '10')"),
        Break("*port = str_of(NULL, 0);", ";"),
        Break("if (colon == 0 || authority.ptr[colon - 1] != ':')", "if (colon != 0 || authority.ptr[colon - 1] != ':')"),
        Break("if (colon == 0 || authority.ptr[colon - 1] != ':')", "if (colon == 0 && authority.ptr[colon - 1] != ':')"),
        Break("*host = str_of(authority.ptr, colon - 1);", ";"),
        Break(
            "{\n    struct str host, port;\n    split_authority(authority, &host, &port);",
            "{\n    struct str host, port;\n    ;"),
        Break("if (host.len > 1 && host.ptr[host.len - 1] == '.')", "if (host.len > 1 && host.ptr[host.len - 0] == '.')"),
        Break("append_lower(out, host);", ";"),
        Break(
            "if (port.len > 0 && !str_equal(port, https ? STR(\"443\") : STR(\"80\"))) {",
            "if (port.len > 0 && str_equal(port, https ? STR(\"443\") : STR(\"80\"))) {"),
        Break(
            "if (port.len > 0 && !str_equal(port, https ? STR(\"443\") : STR(\"80\"))) {",
            "if (port.len >= 0 && !str_equal(port, https ? STR(\"443\") : STR(\"80\"))) {"),
        Break("append_lit(out, \":\");", ";"),
        Break("append_str(out, port);", ";"),
        Break("if (target.len == 0 || target.ptr[0] == '?')", "if (target.len != 0 || target.ptr[0] == '?')"),
        Break("key->check = hash.high64;", ";"),
        Break(
            "if ((unsigned char)url.ptr[i] <= ' ' || url.ptr[i] == 0x7f)",
            "if ((unsigned char)url.ptr[i] < ' ' || url.ptr[i] == 0x7f)"),
        Break("if (fragment != NULL)", "if (fragment == NULL)"),
        Break(
            "while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?')",
            "while (end < rest.len && rest.ptr[end] == '/' && rest.ptr[end] != '?')"),
        Break("parts->authority = str_of(rest.ptr, end);", ";"),
        Break(
            "    cache_key_write(out, parts.scheme, parts.authority, parts.target, NULL);\n    return !out->overflow;",
            "    cache_key_write(out, parts.scheme, parts.authority, parts.target, NULL);\n    return out->overflow;"),
    ],
    "cache/key_query.c": [
        Break("if (!parameters->more)", "if (parameters->more)"),
        Break(
            "        *rest = str_of(end + 1, rest->len - parameter->len - 1);\n    return true;",
            "        *rest = str_of(end + 1, rest->len - parameter->len - 1);\n    return false;"),
        Break(
            "return str_of(parameter.ptr, sign != NULL ? (size_t)(sign - parameter.ptr) : parameter.len);",
            "return str_of(parameter.ptr, sign == NULL ? (size_t)(sign - parameter.ptr) : parameter.len);"),
        Break(
            "if ((rules->query_allow.count == 0 || conf_names_match(&rules->query_allow, name)) &&",
            "if ((rules->query_allow.count != 0 || conf_names_match(&rules->query_allow, name)) &&"),
        Break("if (*count == SORTED_MOST)", "if (*count != SORTED_MOST)"),
        Break("sorted[at] = sorted[at - 1];", ";"),
        Break("append_str(out, parameter);", ";"),
        Break(
            "size_t path_len = mark != NULL ? (size_t)(mark - target.ptr) : target.len;",
            "size_t path_len = mark == NULL ? (size_t)(mark - target.ptr) : target.len;"),
        Break("if (mark == NULL || lists_all(&rules->query_ignore))", "if (mark != NULL || lists_all(&rules->query_ignore))"),
        Break("if (mark == NULL || lists_all(&rules->query_ignore))", "if (mark == NULL && lists_all(&rules->query_ignore))"),
        Break(
            "struct parameters query = {str_of(mark + 1, target.len - path_len - 1), true};",
            "struct parameters query = {str_of(mark + 1, target.len - path_len - 0), true};"),
        Break("append_parameter(out, sorted[i], i == 0);", "append_parameter(out, sorted[i], i != 0);"),
        Break(
            "for (bool first = true; next_kept(&query, rules, &parameter); first = false)",
            "for (bool first = true; next_kept(&query, rules, &parameter); first = true)"),
        Break("append_parameter(out, parameter, first);", ";"),
        Break(
            "return by_bytes != 0 ? by_bytes : (x.len > y.len) - (x.len < y.len);",
            "return by_bytes != 0 ? by_bytes : (x.len > y.len) - (x.len <= y.len);",
            same="what is the same may stand in any order"),
    ],
    "cache/key_fields.c": [
        Break("append_lit(out, \"\\n\");", ";"),
        Break("append_lit(out, \":\");", ";"),
        Break("append_lit(out, \"\\ncookie=\");", ";"),
        Break("append_str(out, cookie->name);", ";"),
        Break("append_str(out, cookie->value);", ";"),
        Break("if (!cookie.doubtful)", "if (cookie.doubtful)"),
        Break("bool first = true;", "bool first = false;"),
        Break("first = false;", "first = true;"),
        Break("append_fields(out, request, &rules->headers);", ";"),
        Break(
            "static const struct str metadata[] = {{\"content-type\", 12},",
            "static const struct str metadata[] = {{\"content-type\", 13},"),
        Break("{\"content-location\", 16}};", "{\"content-location\", 17}};"),
        Break("append_lit(out, \"\\nmethod=QUERY\");", ";"),
    ],
    "cache/cookies.c": [
        Break(
            "return quote != value.ptr || quote == last || memchr(quote + 1, '\"', value.len - 1) != last;",
            "return quote != value.ptr || quote != last || memchr(quote + 1, '\"', value.len - 1) != last;"),
        Break("rest->ptr += taken;", ";"),
        Break("cookie->has_value = sign != NULL;", ";"),
        Break(
            "cookie->value = sign != NULL ? str_trim(str_of(sign + 1, pair.len - name_len - 1))",
            "cookie->value = sign != NULL ? str_trim(str_of(sign + 0, pair.len - name_len - 1))"),
        Break(
            "cookie->doubtful = memchr(pair.ptr, '\"', name_len) != NULL || is_doubtful(cookie->value);",
            "cookie->doubtful = memchr(pair.ptr, '\"', name_len) == NULL || is_doubtful(cookie->value);"),
        Break("cookie->doubtful = memchr(pair.ptr, '\"', name_len) != NULL || is_doubtful(cookie->value);", ";"),
    ],
    "cache/policy_bypass.c": [
        Break(
            "while (f->id == FIELD_COOKIE && cookie_next(&rest, &cookie)) {",
            "while (f->id != FIELD_COOKIE && cookie_next(&rest, &cookie)) {"),
        Break("        }\n    }\n    return false;", "        }\n    }\n    return true;"),
        Break("            return true;\n    }\n    return false;", "            return true;\n    }\n    return true;"),
        Break("case FIELD_X_HTTP_METHOD:\n        case FIELD_X_HTTP_METHOD_OVERRIDE:", "case FIELD_X_HTTP_METHOD_OVERRIDE:"),
        Break("case FIELD_X_HTTP_METHOD_OVERRIDE:\n        case FIELD_X_METHOD_OVERRIDE:", "case FIELD_X_METHOD_OVERRIDE:"),
        Break(
            "if (bypass->headers.count > 0 && has_field(request, &bypass->headers))",
            "if (bypass->headers.count > 0 || has_field(request, &bypass->headers))"),
        Break(
            "if (bypass->cookies.count > 0 && has_cookie(request, &bypass->cookies))",
            "if (bypass->cookies.count >= 0 && has_cookie(request, &bypass->cookies))",
            same="no cookie is among no names: asking first spares the time"),
    ],
    "cache/policy_method.c": [
        Break(
            "return exchange->method == METHOD_POST && exchange->describes_target && exchange->status == 200;",
            "return exchange->method == METHOD_POST && exchange->describes_target && exchange->status != 200;"),
        Break(
            "return exchange->method == METHOD_POST && exchange->describes_target && exchange->status == 200;",
            "return exchange->method == METHOD_POST || exchange->describes_target && exchange->status == 200;"),
        Break(
            "return exchange->method == METHOD_POST && exchange->describes_target && exchange->status == 200;",
            "return exchange->method == METHOD_POST && exchange->describes_target || exchange->status == 200;"),
        Break(
            "if (weir_likely(exchange->method != METHOD_POST) || reason != POLICY_STORE)",
            "if (weir_likely(exchange->method == METHOD_POST) || reason != POLICY_STORE)"),
        Break(
            "if (weir_likely(exchange->method != METHOD_POST) || reason != POLICY_STORE)",
            "if (weir_likely(exchange->method != METHOD_POST) && reason != POLICY_STORE)"),
        Break(
            "if (meta->lifetime_s > 0 && !(meta->flags & (CACHE_HEURISTIC | CACHE_NO_CACHE)))",
            "if (meta->lifetime_s >= 0 && !(meta->flags & (CACHE_HEURISTIC | CACHE_NO_CACHE)))"),
        Break("meta->lifetime_s = 0;", ";"),
    ],
    "cache/policy.c": [
        Break("len++;", ";"),
        Break("return s.len > 0 && span_token(s) == s.len;", "return s.len > 0 || span_token(s) == s.len;"),
        Break("if (s.ptr[i] == '\\\\') {", "if (s.ptr[i] != '\\\\') {"),
        Break("i++;", ";"),
        Break("} else if (s.ptr[i] == '\"') {", "} else if (s.ptr[i] != '\"') {"),
        Break("return i + 1 == s.len;", "return i + 0 == s.len;"),
        Break(
            "    if (!str_list_next(rest, &element))\n        return false;",
            "    if (!str_list_next(rest, &element))\n        return true;"),
        Break(
            "    if (len > 0 && tail.len == 0)\n        return true;",
            "    if (len > 0 && tail.len == 0)\n        return false;"),
        Break("if (len > 0 && tail.len == 0)", "if (len > 0 || tail.len == 0)"),
        Break("directive->has_value = true;", "directive->has_value = false;"),
        Break(
            "directive->value = str_of(tail.ptr + 1, tail.len - 1);",
            "directive->value = str_of(tail.ptr + 0, tail.len - 1);"),
        Break("        if (well_formed)\n            return true;", "        if (well_formed)\n            return false;"),
        Break("directive->unreadable = quoted;", ";"),
        Break("if (value.len == 0)", "if (value.len != 0)"),
        Break("delta_s = delta_s * 10 + digit;", "delta_s = delta_s * 11 + digit;"),
        Break("if (*member < 0 || value < *member)", "if (*member < 0 && value < *member)"),
        Break("out->no_cache = out->no_store = true;", "out->no_cache = out->no_store = false;"),
        Break("out->only_if_cached = true;", "out->only_if_cached = false;"),
        Break("out->only_if_cached = true;", ";"),
        Break("read_directive(&directive, out);", ";"),
        Break("            return true;\n    }\n    return false;", "            return true;\n    }\n    return true;"),
        Break("case FIELD_AUTHORIZATION:\n            out->authorization = true;", "out->authorization = true;"),
        Break("out->authorization = true;", "out->authorization = false;"),
        Break("case FIELD_RANGE:\n            out->range = true;", "out->range = true;"),
        Break(
            "return request->max_age_s < 0 && request->min_fresh_s < 0 && request->max_stale_s < 0;",
            "return request->max_age_s < 0 && request->min_fresh_s <= 0 && request->max_stale_s < 0;"),
        Break(
            "return request->max_age_s < 0 && request->min_fresh_s < 0 && request->max_stale_s < 0;",
            "return request->max_age_s < 0 && request->min_fresh_s < 0 && request->max_stale_s <= 0;"),
        Break(
            "bool accepted = request->max_stale_s > 0 && (999 + stale_ms) / 1000 <= request->max_stale_s;",
            "bool accepted = request->max_stale_s >= 0 && (999 + stale_ms) / 1000 <= request->max_stale_s;"),
        Break(
            "bool accepted = request->max_stale_s > 0 && (999 + stale_ms) / 1000 <= request->max_stale_s;",
            "bool accepted = request->max_stale_s > 0 && (1000 + stale_ms) / 1000 <= request->max_stale_s;"),
        Break(
            "stale_ms < (int64_t)meta->stale_while_revalidate_s * 1000)",
            "stale_ms < (int64_t)meta->stale_while_revalidate_s * 999)"),
        Break(
            "if (request->min_fresh_s >= 0 && left_ms < request->min_fresh_s * 1000)",
            "if (request->min_fresh_s > 0 && left_ms < request->min_fresh_s * 1000)"),
        Break("return false; /* no better than the error that came */", "return true; /* no better than the error that came */"),
        Break(
            "        is_too_old(request, age_ms))\n        return false;",
            "        is_too_old(request, age_ms))\n        return true;"),
        Break("allowed_s = request->stale_if_error_s;", ";"),
        Break("return allowed_s > 0 && stale_ms < allowed_s * 1000;", "return allowed_s > 0 && stale_ms <= allowed_s * 1000;"),
        Break("return allowed_s > 0 && stale_ms < allowed_s * 1000;", "return allowed_s >= 0 && stale_ms < allowed_s * 1000;"),
        Break("return allowed_s > 0 && stale_ms < allowed_s * 1000;", "return allowed_s > 0 && stale_ms < allowed_s * 999;"),
        Break(
            "return status == 500 || status == 502 || status == 503 || status == 504;",
            "return status == 500 || status != 502 || status == 503 || status == 504;"),
        Break(
            "stale_ms < (int64_t)meta->stale_while_revalidate_s * 1000;",
            "stale_ms <= (int64_t)meta->stale_while_revalidate_s * 1000;"),
        Break(
            "stale_ms < (int64_t)meta->stale_while_revalidate_s * 1000;",
            "stale_ms < (int64_t)meta->stale_while_revalidate_s * 1001;"),
        Break(
            "case POLICY_MALFORMED:\n        return (status >= 200 && status < 400) || status == 404 || status == 410;",
            "return (status >= 200 && status < 400) || status == 404 || status == 410;"),
        Break(
            "stale_ms >= (int64_t)meta->stale_while_revalidate_s * 1000 &&",
            "stale_ms > (int64_t)meta->stale_while_revalidate_s * 1000 &&"),
        Break(
            "stale_ms >= (int64_t)meta->stale_while_revalidate_s * 1000 &&",
            "stale_ms >= (int64_t)meta->stale_while_revalidate_s * 999 &&"),
        Break("stale_ms >= (int64_t)meta->stale_if_error_s * 1000;", "stale_ms >= (int64_t)meta->stale_if_error_s * 999;"),
        Break("if (meta->lifetime_s == 0 || request->no_store)", "if (meta->lifetime_s == 0 && request->no_store)"),
        Break(
            "return request->max_age_s < 0 && request->min_fresh_s < 0 && request->max_stale_s < 0;",
            "return request->max_age_s <= 0 && request->min_fresh_s < 0 && request->max_stale_s < 0;",
            same="with max-age=0 is_too_old() has decided before"),
        Break(
            "if (request->stale_if_error_s > allowed_s)",
            "if (request->stale_if_error_s >= allowed_s)",
            same="the greater is taken, or the same again"),
        Break(
            "static void take_least(int64_t *member, int64_t value)\n{\n    if (value < 0)",
            "static void take_least(int64_t *member, int64_t value)\n{\n    if (value <= 0)",
            same="what is malformed counts as 0, and so does 0"),
    ],
    "cache/policy_response.c": [
        Break("said->has_age = true;", ";"),
        Break("said->has_vary = true;", "said->has_vary = false;"),
        Break("said->has_vary = true;", ";"),
        Break("said->vary_star = true;", "said->vary_star = false;"),
        Break("said->bad_vary = true;", ";"),
        Break("if (!date_parse(value, wall_now_s, &expires_s) ||", "if (date_parse(value, wall_now_s, &expires_s) ||"),
        Break("(expires->there && expires->value_s != expires_s))", "(expires->there && expires->value_s == expires_s))"),
        Break("*expires = (struct policy_given){true, expires_s};", "*expires = (struct policy_given){false, expires_s};"),
        Break("if (!said->has_date || date_s < said->date_s)", "if (said->has_date || date_s < said->date_s)"),
        Break("if (!said->has_date || date_s > said->last_date_s)", "if (!said->has_date && date_s > said->last_date_s)"),
        Break("if (!said->has_date || date_s > said->last_date_s)", "if (said->has_date || date_s > said->last_date_s)"),
        Break("said->has_date = true;", "said->has_date = false;"),
        Break(
            "(said->has_modified && modified_s != said->modified_s);",
            "(said->has_modified && modified_s == said->modified_s);"),
        Break("policy_read_control(value, &said->control);", ";"),
        Break("said->has_etag |= value.len > 0;", "said->has_etag |= value.len >= 0;"),
        Break("said->has_etag |= value.len > 0;", ";"),
        Break("case FIELD_SET_COOKIE:\n            said->set_cookie = true;", "said->set_cookie = true;"),
        Break("decides = policy_read_targeted(exchange->fields, &said->control);", ";"),
        Break(
            "if ((before == CACHE_BY_WEIR && decides != FIELD_WEIR_CACHE_CONTROL) ||",
            "if ((before == CACHE_BY_WEIR || decides != FIELD_WEIR_CACHE_CONTROL) ||"),
        Break(
            "(before == CACHE_BY_SURROGATE && decides == FIELD_OTHER)) {",
            "(before == CACHE_BY_SURROGATE && decides != FIELD_OTHER)) {"),
        Break("recall(exchange->stored, said);", ";"),
        Break("control->has_s_maxage = false;", "control->has_s_maxage = true;"),
        Break("case 204:\n    case 300:", "case 300:"),
        Break("case 301:\n    case 308:", "case 308:"),
        Break("case 308:", "case 309:"),
        Break("case 414:", "case 415:"),
        Break("case 501:", "case 502:"),
        Break(
            "return (status >= 200 && status <= 205) || (status >= 300 && status <= 303) || status == 305 ||",
            "return (status >= 200 && status < 205) || (status >= 300 && status <= 303) || status == 305 ||"),
        Break(
            "return (status >= 200 && status <= 205) || (status >= 300 && status <= 303) || status == 305 ||",
            "return (status > 200 && status <= 205) || (status >= 300 && status <= 303) || status == 305 ||"),
        Break(
            "return (status >= 200 && status <= 205) || (status >= 300 && status <= 303) || status == 305 ||",
            "return (status >= 200 && status <= 205) && (status >= 300 && status <= 303) || status == 305 ||"),
        Break(
            "status == 307 || status == 308 || (status >= 400 && status <= 411) ||",
            "status == 307 || status != 308 || (status >= 400 && status <= 411) ||"),
        Break(
            "status == 307 || status == 308 || (status >= 400 && status <= 411) ||",
            "status == 307 || status == 308 || (status >= 400 || status <= 411) ||"),
        Break(
            "status == 307 || status == 308 || (status >= 400 && status <= 411) ||",
            "status == 307 && status == 308 || (status >= 400 && status <= 411) ||"),
        Break(
            "(status >= 413 && status <= 415) || status == 417 || status == 421 || status == 422 ||",
            "(status >= 413 && status <= 415) || status != 417 || status == 421 || status == 422 ||"),
        Break(
            "(status >= 413 && status <= 415) || status == 417 || status == 421 || status == 422 ||",
            "(status >= 413 && status <= 415) || status == 417 || status != 421 || status == 422 ||"),
        Break(
            "(status >= 413 && status <= 415) || status == 417 || status == 421 || status == 422 ||",
            "(status >= 413 && status <= 415) || status == 417 && status == 421 || status == 422 ||"),
        Break("status == 426 || (status >= 500 && status <= 505);", "status != 426 || (status >= 500 && status <= 505);"),
        Break("status == 426 || (status >= 500 && status <= 505);", "status == 426 || (status >= 500 && status < 505);"),
        Break("if (status < 200 || status == 304 || status == 412)", "if (status < 200 && status == 304 || status == 412)"),
        Break("if (status < 200 || status == 304 || status == 412)", "if (status < 200 || status == 304 && status == 412)"),
        Break(
            "int64_t corrected_ms = said->age_s * 1000 + (response_delay_ms > 0 ? response_delay_ms : 0);",
            "int64_t corrected_ms = said->age_s * 1001 + (response_delay_ms > 0 ? response_delay_ms : 0);"),
        Break(
            "int64_t apparent_ms = apparent_age_s(said, exchange->wall_now_s) * 1000;",
            "int64_t apparent_ms = apparent_age_s(said, exchange->wall_now_s) * 999;"),
        Break(
            "int64_t apparent_ms = apparent_age_s(said, exchange->wall_now_s) * 1000;",
            "int64_t apparent_ms = apparent_age_s(said, exchange->wall_now_s) * 1001;"),
        Break(
            "if (!said->has_modified || said->modified_s >= said->date_s)",
            "if (!said->has_modified && said->modified_s >= said->date_s)"),
        Break("if (!exchange->route->enabled)", "if (exchange->route->enabled)"),
        Break(
            "if (control->no_store && (!control->must_understand || control->no_store_holds))",
            "if (control->no_store || (!control->must_understand || control->no_store_holds))"),
        Break(
            "if (exchange->request->authorization && !allows_authorized(control))",
            "if (exchange->request->authorization && allows_authorized(control))"),
        Break("case CONF_SET_COOKIE_STORE:\n        return false;", "return false;"),
        Break("case CONF_SET_COOKIE_REFUSE:\n        return true;", "return true;"),
        Break("return route->override != 0 || !shared_by_origin;", "return route->override != 0 || shared_by_origin;"),
        Break("if (!explicit && !may_be_granted(exchange, said))", "if (explicit && !may_be_granted(exchange, said))"),
        Break(
            "if (said->set_cookie && refuses_cookie(exchange->route, lifetime_s > 0 && !no_cache))",
            "if (said->set_cookie && refuses_cookie(exchange->route, lifetime_s > 0 || !no_cache))"),
        Break("if (!explicit && !no_cache) {", "if (explicit && !no_cache) {"),
        Break("if (!explicit && !no_cache) {", "if (!explicit && no_cache) {"),
        Break("lifetime_s = granted_lifetime_s(exchange, said, age_s);", ";"),
        Break("meta->lifetime_s = (uint32_t)lifetime_s;", ";"),
        Break("flags |= CACHE_NO_CACHE;", ";"),
        Break("if (said->has_etag || said->has_modified)", "if (said->has_etag && said->has_modified)"),
        Break("flags |= CACHE_HAS_VARY;", ";"),
        Break("read_fields(exchange->fields, exchange->wall_now_s, said);", ";"),
        Break(
            "if (!said->has_date || date_s < said->date_s)",
            "if (!said->has_date || date_s <= said->date_s)",
            same="the earlier is taken, or the same again"),
        Break(
            "if (said->expires.value_s <= said->last_date_s)",
            "if (said->expires.value_s < said->last_date_s)",
            same="the difference of equal times is 0 as well"),
        Break(
            "return value < most ? value : most;",
            "return value <= most ? value : most;",
            same="of equal ones either is the least"),
    ],
    "cache/policy_control.c": [
        Break(
            "if (value_s < 0 || (given->there && given->value_s != value_s))",
            "if (value_s < 0 || (given->there && given->value_s == value_s))"),
        Break(
            "if (value_s < 0 || (given->there && given->value_s != value_s))",
            "if (value_s < 0 || (given->there || given->value_s != value_s))"),
        Break("value_s = 0;", ";"),
        Break("given->value_s = value_s;", ";"),
        Break("case WORD_MAX_AGE:\n        take_given(&control->max_age, delta_s);", "take_given(&control->max_age, delta_s);"),
        Break("case WORD_PUBLIC:\n        control->public |= well_formed;", "control->public |= well_formed;"),
        Break("take_given(&control->s_maxage, delta_s);", ";"),
        Break("control->has_s_maxage |= delta_s >= 0;", "control->has_s_maxage |= delta_s > 0;"),
        Break("case WORD_NO_CACHE:\n        control->no_cache = true;", "control->no_cache = true;"),
        Break("control->proxy_revalidate = true;", "control->proxy_revalidate = false;"),
        Break("control->proxy_revalidate = true;", ";"),
        Break("take_given(&control->stale_if_error, delta_s);", ";"),
        Break(
            "take_word(find_word(directive.name), !directive.malformed,",
            "take_word(find_word(directive.name), directive.malformed,"),
        Break("bool boolean = value->type == STRUCTURED_BOOLEAN;", "bool boolean = value->type != STRUCTURED_BOOLEAN;"),
        Break(
            "if (value->type == STRUCTURED_INTEGER && value->number >= 0)",
            "if (value->type == STRUCTURED_INTEGER || value->number >= 0)"),
        Break(
            "return (struct said_last){!boolean || value->number != 0, boolean, delta_s};",
            "return (struct said_last){boolean || value->number != 0, boolean, delta_s};"),
        Break("bool any = false, empty_line = false;", "bool any = false, empty_line = true;"),
        Break("if (fields.list[i].id != id)", "if (fields.list[i].id == id)"),
        Break("empty_line |= rest.len == 0;", "empty_line |= rest.len != 0;"),
        Break("            return false;", "            return true;"),
        Break("if (!any || empty_line)", "if (any || empty_line)"),
        Break("return true;", "return false;"),
        Break("    if (semicolon == NULL)\n        return false;", "    if (semicolon == NULL)\n        return true;"),
        Break("if (semicolon == NULL)", "if (semicolon != NULL)"),
        Break("if (!policy_is_token(name))", "if (policy_is_token(name))"),
        Break("if (plus != NULL && !d->malformed) {", "if (plus != NULL && d->malformed) {"),
        Break("delta_s = more_s < 0 ? -1 : policy_delta_s(str_of(d->value.ptr, len));", ";"),
        Break("control->malformed |= d->unreadable;", ";"),
        Break("return word != WORDS || d->unreadable;", "return word == WORDS || d->unreadable;"),
        Break("bool any = false;", "bool any = true;"),
        Break(
            "while (fields.list[i].id == FIELD_SURROGATE_CONTROL && str_list_next(&rest, &element)) {",
            "while (fields.list[i].id == FIELD_SURROGATE_CONTROL || str_list_next(&rest, &element)) {"),
        Break("*control = said;", ";"),
        Break(
            "if (value_s < 0 || (given->there && given->value_s != value_s))",
            "if (value_s <= 0 || (given->there && given->value_s != value_s))",
            same="what is malformed counts as 0, and so does 0"),
        Break(
            "take_word(WORD_MAX_AGE, true, delta_s, control);",
            "take_word(WORD_MAX_AGE, false, delta_s, control);",
            same="a number is malformed when it is below 0; being well-formed matters to words only"),
    ],
    "cache/structured.c": [
        Break("return c != '\\0' && strchr(others, c) != NULL;", "return c == '\\0' && strchr(others, c) != NULL;"),
        Break(
            "return is_letter(c) || is_digit(c) || c == '+' || c == '/';",
            "return is_letter(c) || is_digit(c) || c == '+' && c == '/';"),
        Break("s->len -= count;", ";"),
        Break("        return false;\n    skip(s, 1);", "        return false;\n    ;"),
        Break("taken.len++;", ";"),
        Break(
            "while (begins_with(*s, ' ') || begins_with(*s, '\\t'))",
            "while (begins_with(*s, ' ') && begins_with(*s, '\\t'))"),
        Break("if (whole.len == 0 || whole.len > INTEGER_DIGITS)", "if (whole.len != 0 || whole.len > INTEGER_DIGITS)"),
        Break("out->number = to_number(whole);", ";"),
        Break("out->type = STRUCTURED_DECIMAL;", ";"),
        Break("        out->number = -out->number;\n    return true;", "        out->number = -out->number;\n    return false;"),
        Break("if (c == '\"') {", "if (c != '\"') {"),
        Break("            skip(s, i + 1);\n            return true;", "            skip(s, i + 1);\n            return false;"),
        Break("if (c < 0x20 || c > 0x7e)", "if (c <= 0x20 || c > 0x7e)"),
        Break("if (c < 0x20 || c > 0x7e)", "if (c < 0x20 && c > 0x7e)"),
        Break("out->text = take_while(s, is_token_char);", ";"),
        Break("out->text = content;", ";"),
        Break(
            "    while (begins_with(*s, '=') && out->text.len % 4 != 0) {\n        skip(s, 1);",
            "    while (begins_with(*s, '=') && out->text.len % 4 != 0) {\n        ;"),
        Break("out->type = STRUCTURED_BOOLEAN;", ";"),
        Break("out->type = STRUCTURED_DATE;", ";"),
        Break(
            "return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;",
            "return is_digit(c) ? c - '0' : c >= 'a' && c < 'f' ? c - 'a' + 10 : -1;"),
        Break("if (c < 0x20 || c > 0x7e || c == '\"')", "if (c <= 0x20 || c > 0x7e || c == '\"')"),
        Break("skip(s, 3);", "skip(s, 4);"),
        Break("bytes[len] = (char)byte;", ";"),
        Break("if (str_utf8_sequence(str_of(bytes, len + 1)) > 0) {", "if (str_utf8_sequence(str_of(bytes, len + 0)) > 0) {"),
        Break("out->type = STRUCTURED_DISPLAY_STRING;", ";"),
        Break("    if (!take_char(s, '\"'))\n        return false;", "    if (!take_char(s, '\"'))\n        return true;"),
        Break(
            "if (s->len == 0 || !(is_lower(s->ptr[0]) || s->ptr[0] == '*'))",
            "if (s->len == 0 || (is_lower(s->ptr[0]) || s->ptr[0] == '*'))"),
        Break(
            "if (!take_key(s, &key) || (take_char(s, '=') && !take_bare_item(s, &value)))",
            "if (take_key(s, &key) || (take_char(s, '=') && !take_bare_item(s, &value)))"),
        Break(
            "        if (!take_item(s, &item) || !(begins_with(*s, ' ') || begins_with(*s, ')')))\n            return false;",
            "        if (!take_item(s, &item) || !(begins_with(*s, ' ') || begins_with(*s, ')')))\n            return true;"),
        Break("    if (s->len == 0)\n        return true;", "    if (s->len == 0)\n        return false;"),
        Break("        return false;\n    skip_white(s);", "        return false;\n    ;"),
        Break(
            "    skip_spaces(rest); /* §4.2; behind a comma it has been skipped */\n    if (rest->len == 0)",
            "    skip_spaces(rest); /* §4.2; behind a comma it has been skipped */\n    if (rest->len != 0)"),
        Break(
            "if (s->len < 3 || hex_value(s->ptr[1]) < 0 || hex_value(s->ptr[2]) < 0)",
            "if (s->len < 4 || hex_value(s->ptr[1]) < 0 || hex_value(s->ptr[2]) < 0)",
            same="a display string that ends there has no closing quote, and fails for that"),
    ],
    "cache/policy_conditions.c": [
        Break(
            "size_t start = rest->len >= 2 && rest->ptr[0] == 'W' && rest->ptr[1] == '/' ? 2 : 0;",
            "size_t start = rest->len >= 2 || rest->ptr[0] == 'W' && rest->ptr[1] == '/' ? 2 : 0;"),
        Break(
            "    if (start >= rest->len || rest->ptr[start] != '\"')\n        return false;",
            "    if (start >= rest->len || rest->ptr[start] != '\"')\n        return true;"),
        Break(
            "const char *closing = memchr(opening + 1, '\"', rest->len - start - 1);",
            "const char *closing = memchr(opening + 0, '\"', rest->len - start - 1);"),
        Break("*tag = str_of(opening, (size_t)(closing + 1 - opening));", ";"),
        Break("rest->len -= taken;", ";"),
        Break("return c == ' ' || c == '\\t' || c == ',';", "return c == ' ' && c == '\\t' || c == ',';"),
        Break("rest->ptr += count;", ";"),
        Break("while (list.len > 0) {", "while (list.len >= 0) {"),
        Break(
            "bool matches = take_opaque_tag(&list, &tag) && str_equal(tag, stored);",
            "bool matches = take_opaque_tag(&list, &tag) || str_equal(tag, stored);"),
        Break("while (list.len > 0 && list.ptr[0] != ',') {", "while (list.len > 0 || list.ptr[0] != ',') {"),
        Break(
            "            matches &= list.ptr[0] == ' ' || list.ptr[0] == '\\t';\n            skip(&list, 1);",
            "            matches &= list.ptr[0] == ' ' || list.ptr[0] == '\\t';\n            ;"),
        Break(
            "matches &= list.ptr[0] == ' ' || list.ptr[0] == '\\t';",
            "matches &= list.ptr[0] == ' ' || list.ptr[0] != '\\t';"),
        Break(
            "matches &= list.ptr[0] == ' ' || list.ptr[0] == '\\t';",
            "matches &= list.ptr[0] == ' ' && list.ptr[0] == '\\t';"),
        Break("        if (matches)\n            return true;", "        if (matches)\n            return false;"),
        Break(
            "bool has_tag = etag.ptr != NULL && take_opaque_tag(&etag, &stored) && etag.len == 0;",
            "bool has_tag = etag.ptr == NULL && take_opaque_tag(&etag, &stored) && etag.len == 0;"),
        Break("if (f->id != FIELD_IF_NONE_MATCH)", "if (f->id == FIELD_IF_NONE_MATCH)"),
        Break(
            "        if (lines == 1 && str_equal(str_trim(field_value(f)), STR(\"*\")))\n            return true;",
            "        if (lines == 1 && str_equal(str_trim(field_value(f)), STR(\"*\")))\n            return false;"),
        Break(
            "        if (has_tag && list_has_tag(field_value(f), stored))\n            return true;\n    }\n    return false;",
            "        if (has_tag && list_has_tag(field_value(f), stored))\n            return true;\n    }\n    return true;"),
        Break("if (has_tag && list_has_tag(field_value(f), stored))", "if (has_tag || list_has_tag(field_value(f), stored))"),
        Break(
            "return modified.ptr != NULL && date_parse(str_trim(since), wall_now_s, &since_s) &&",
            "return modified.ptr == NULL && date_parse(str_trim(since), wall_now_s, &since_s) &&"),
        Break(
            "date_parse(modified, wall_now_s, &modified_s) && modified_s <= since_s;",
            "date_parse(modified, wall_now_s, &modified_s) && modified_s < since_s;"),
        Break("none_match_lines++;", ";"),
        Break("} else if (f->id == FIELD_IF_MODIFIED_SINCE) {", "} else if (f->id != FIELD_IF_MODIFIED_SINCE) {"),
        Break("since = f;", ";"),
        Break("since_lines++;", ";"),
        Break("if (none_match_lines + since_lines == 0)", "if (none_match_lines + since_lines != 0)"),
    ],
    "cache/policy_freshen.c": [
        Break("if (c->id != FIELD_CONNECTION)", "if (c->id == FIELD_CONNECTION)"),
        Break(
            "if (!str_equal_nocase(value, STR(\"keep-alive\")) && !str_equal_nocase(value, STR(\"close\")))",
            "if (!str_equal_nocase(value, STR(\"keep-alive\")) && str_equal_nocase(value, STR(\"close\")))"),
        Break(
            "if (!str_equal_nocase(value, STR(\"keep-alive\")) && !str_equal_nocase(value, STR(\"close\")))",
            "if (!str_equal_nocase(value, STR(\"keep-alive\")) || !str_equal_nocase(value, STR(\"close\")))"),
        Break("case FIELD_KEEP_ALIVE:\n    case FIELD_PROXY_CONNECTION:", "case FIELD_PROXY_CONNECTION:"),
        Break("case FIELD_TRANSFER_ENCODING:\n    case FIELD_UPGRADE:", "case FIELD_UPGRADE:"),
        Break("case FIELD_PROXY_AUTHENTICATE:\n    case FIELD_PROXY_AUTHORIZATION:", "case FIELD_PROXY_AUTHORIZATION:"),
        Break("case FIELD_AGE:\n    case FIELD_CONTENT_LENGTH:", "case FIELD_CONTENT_LENGTH:"),
        Break(
            "case FIELD_OTHER:\n        if (str_equal_nocase(field_name(f), STR(\"Proxy-Authentication-Info\")))",
            "if (str_equal_nocase(field_name(f), STR(\"Proxy-Authentication-Info\")))"),
        Break("return !is_named_in_connection(fields, f);", "return is_named_in_connection(fields, f);"),
        Break("    if (rest->len == 0)\n        return false;", "    if (rest->len == 0)\n        return true;"),
        Break("if (rest->len == 0)", "if (rest->len != 0)"),
        Break("rest->len -= (size_t)(end + 1 - rest->ptr);", ";"),
        Break("    rest->ptr = end + 1;\n    return true;", "    rest->ptr = end + 1;\n    return false;"),
        Break("rest->ptr = end + 1;", ";"),
        Break(
            "if (etag.len >= 2 && etag.ptr[0] == 'W' && etag.ptr[1] == '/')",
            "if (etag.len >= 2 && etag.ptr[0] != 'W' && etag.ptr[1] == '/')"),
        Break(
            "while (line.id == FIELD_VARY && str_list_next(&rest, &member)) {",
            "while (line.id != FIELD_VARY && str_list_next(&rest, &member)) {"),
        Break(
            "while (line.id == FIELD_VARY && str_list_next(&rest, &member)) {",
            "while (line.id == FIELD_VARY || str_list_next(&rest, &member)) {"),
        Break("                return true;", "                return false;"),
        Break("first(not_modified, FIELD_ETAG) == NULL &&", "first(not_modified, FIELD_ETAG) != NULL &&"),
        Break(
            "if (etag.ptr == NULL || !str_equal(opaque_tag(etag), opaque_tag(rest)))",
            "if (etag.ptr == NULL || str_equal(opaque_tag(etag), opaque_tag(rest)))"),
        Break(
            "if (etag.ptr == NULL || !str_equal(opaque_tag(etag), opaque_tag(rest)))",
            "if (etag.ptr == NULL && !str_equal(opaque_tag(etag), opaque_tag(rest)))"),
        Break(
            "while (f->id == FIELD_VARY && str_list_next(&rest, &member)) {",
            "while (f->id == FIELD_VARY || str_list_next(&rest, &member)) {"),
        Break("    }\n    return true;", "    }\n    return false;"),
        Break("if (f == NULL || etag.ptr == NULL)", "if (f != NULL || etag.ptr == NULL)"),
        Break("if (f == NULL || etag.ptr == NULL)", "if (f == NULL && etag.ptr == NULL)"),
        Break(
            "if (value.ptr != NULL && str_equal(value, field_value(f)))",
            "if (value.ptr != NULL || str_equal(value, field_value(f)))"),
        Break("*other = true;", "*other = false;"),
        Break("*other = true;", ";"),
        Break(
            "bool same = content_length >= 0, other = same && (uint64_t)content_length != stored_length;",
            "bool same = content_length > 0, other = same && (uint64_t)content_length != stored_length;"),
        Break("compare(stored, head, FIELD_ETAG, &same, &other);", ";"),
        Break(
            "    if (f->id == FIELD_CONTENT_RANGE || f->id == FIELD_VARY)\n        return false;",
            "    if (f->id == FIELD_CONTENT_RANGE || f->id == FIELD_VARY)\n        return true;"),
        Break(
            "if (f->id == FIELD_CONTENT_RANGE || f->id == FIELD_VARY)",
            "if (f->id != FIELD_CONTENT_RANGE || f->id == FIELD_VARY)"),
        Break(
            "if (f->id == line->id && f->name_len == line->name_len &&",
            "if (f->id != line->id && f->name_len == line->name_len &&"),
        Break(
            "if (f->id == line->id && f->name_len == line->name_len &&",
            "if (f->id == line->id || f->name_len == line->name_len &&"),
        Break(
            "            str_equal_nocase(field_name(f), field_name(line)) && is_updated(not_modified, f))\n            return true;",
            "            str_equal_nocase(field_name(f), field_name(line)) && is_updated(not_modified, f))\n            return false;"),
        Break(
            "str_equal_nocase(field_name(f), field_name(line)) && is_updated(not_modified, f))",
            "str_equal_nocase(field_name(f), field_name(line)) || is_updated(not_modified, f))"),
        Break("append_lit(out, \"\\r\\n\");", ";"),
        Break(
            "    if (!is_about(stored, not_modified))\n        return false;",
            "    if (!is_about(stored, not_modified))\n        return true;"),
        Break("append_line(out, &line);", ";"),
        Break("append_line(out, &not_modified.list[i]);", ";"),
    ],
    "cache/policy_range.c": [
        Break(
            "tag.ptr[0] == '\"' && memchr(tag.ptr + 1, '\"', tag.len - 1) == tag.ptr + tag.len - 1;",
            "tag.ptr[0] != '\"' && memchr(tag.ptr + 1, '\"', tag.len - 1) == tag.ptr + tag.len - 1;"),
        Break(
            "tag.ptr[0] == '\"' && memchr(tag.ptr + 1, '\"', tag.len - 1) == tag.ptr + tag.len - 1;",
            "tag.ptr[0] == '\"' || memchr(tag.ptr + 1, '\"', tag.len - 1) == tag.ptr + tag.len - 1;"),
        Break(
            "tag.ptr[0] == '\"' && memchr(tag.ptr + 1, '\"', tag.len - 1) == tag.ptr + tag.len - 1;",
            "tag.ptr[0] == '\"' && memchr(tag.ptr + 1, '\"', tag.len - 1) == tag.ptr + tag.len - 0;"),
        Break(
            "asked_s == modified_s && made_s - modified_s >= STRONG_AFTER_S;",
            "asked_s == modified_s && made_s - modified_s > STRONG_AFTER_S;"),
        Break(
            "asked_s == modified_s && made_s - modified_s >= STRONG_AFTER_S;",
            "asked_s == modified_s || made_s - modified_s >= STRONG_AFTER_S;"),
        Break("*number = 0;", ";"),
        Break("if (digit > 9)", "if (digit > 10)"),
        Break(
            "fits = fits && !__builtin_mul_overflow(*number, (uint64_t)10, number) &&",
            "fits = fits || !__builtin_mul_overflow(*number, (uint64_t)10, number) &&"),
        Break(
            "fits = fits && !__builtin_mul_overflow(*number, (uint64_t)10, number) &&",
            "fits = fits && !__builtin_mul_overflow(*number, (uint64_t)11, number) &&"),
        Break("if (!fits)", "if (fits)"),
        Break("return digits > 0;", "return digits >= 0;"),
        Break(
            "    if (spec.len == 0 || spec.ptr[0] != '-')\n        return false;",
            "    if (spec.len == 0 || spec.ptr[0] != '-')\n        return true;"),
        Break("spec = str_of(spec.ptr + 1, spec.len - 1);", "spec = str_of(spec.ptr + 0, spec.len - 1);"),
        Break("spec = str_of(spec.ptr + 1, spec.len - 1);", "spec = str_of(spec.ptr + 1, spec.len - 0);"),
        Break(
            "if (spec.len > 0 || (!has_first && !has_last) || (has_first && has_last && last < first))",
            "if (spec.len > 0 || (!has_first || !has_last) || (has_first && has_last && last < first))"),
        Break(
            "if (spec.len > 0 || (!has_first && !has_last) || (has_first && has_last && last < first))",
            "if (spec.len > 0 || (!has_first && !has_last) || (has_first || has_last && last < first))"),
        Break(
            "if (spec.len > 0 || (!has_first && !has_last) || (has_first && has_last && last < first))",
            "if (spec.len > 0 || (has_first && !has_last) || (has_first && has_last && last < first))"),
        Break(
            "if (spec.len > 0 || (!has_first && !has_last) || (has_first && has_last && last < first))",
            "if (spec.len > 0 || (!has_first && has_last) || (has_first && has_last && last < first))"),
        Break(
            "if (!has_first) { /* suffix-range: the last so many bytes */",
            "if (has_first) { /* suffix-range: the last so many bytes */"),
        Break(
            "uint64_t end = has_last && last < length ? last + 1 : length;",
            "uint64_t end = has_last && last <= length ? last + 1 : length;"),
        Break(
            "uint64_t end = has_last && last < length ? last + 1 : length;",
            "uint64_t end = has_last || last < length ? last + 1 : length;"),
        Break(
            "    if (end - first >= into->length + span->length + PART_BYTES)\n        return false;",
            "    if (end - first >= into->length + span->length + PART_BYTES)\n        return true;"),
        Break(
            "    *into = (struct policy_span){first, end - first};\n    return true;",
            "    *into = (struct policy_span){first, end - first};\n    return false;"),
        Break(
            "if (++specs > POLICY_SPANS_MOST || !read_spec(spec, length, &span))",
            "if (++specs >= POLICY_SPANS_MOST || !read_spec(spec, length, &span))"),
        Break(
            "if (++specs > POLICY_SPANS_MOST || !read_spec(spec, length, &span))",
            "if (++specs > POLICY_SPANS_MOST && !read_spec(spec, length, &span))"),
        Break(
            "if (++specs > POLICY_SPANS_MOST || !read_spec(spec, length, &span))",
            "if (++specs > POLICY_SPANS_MOST || read_spec(spec, length, &span))"),
        Break(
            "(ranges->count > 0 && join_near(&ranges->spans[ranges->count - 1], &span)))",
            "(ranges->count > 0 && join_near(&ranges->spans[ranges->count - 0], &span)))"),
        Break("ranges->spans[ranges->count++] = span;", ";"),
        Break("return specs > 0;", "return specs >= 0;"),
        Break("            return true;\n    return false;", "            return true;\n    return true;"),
        Break(
            "        if (spans[i].length > left)\n            return false;",
            "        if (spans[i].length > left)\n            return true;"),
        Break("if (spans[i].length > left)", "if (spans[i].length >= left)"),
        Break(
            "        if (selected->arriving && i > 0 && spans[i].first < end_of(&spans[i - 1]))\n            return false;",
            "        if (selected->arriving && i > 0 && spans[i].first < end_of(&spans[i - 1]))\n            return true;"),
        Break(
            "if (selected->arriving && i > 0 && spans[i].first < end_of(&spans[i - 1]))",
            "if (selected->arriving && i > 0 && spans[i].first <= end_of(&spans[i - 1]))"),
        Break(
            "if (selected->arriving && i > 0 && spans[i].first < end_of(&spans[i - 1]))",
            "if (selected->arriving && i > 0 || spans[i].first < end_of(&spans[i - 1]))"),
        Break("if_range_lines++;", ";"),
        Break(
            "if (method != METHOD_GET || selected->status != 200 || selected->length == 0 ||",
            "if (method != METHOD_GET || selected->status == 200 || selected->length == 0 ||"),
        Break(
            "if (method != METHOD_GET || selected->status != 200 || selected->length == 0 ||",
            "if (method != METHOD_GET || selected->status != 201 || selected->length == 0 ||"),
        Break("range_lines != 1 || if_range_lines > 1)", "range_lines == 1 || if_range_lines > 1)"),
        Break("if (ranges->count == 0)", "if (ranges->count != 0)"),
    ],
    "cache/purge.c": [
        Break("#define JOBS_MOST 64u", "#define JOBS_MOST 65u"),
        Break("#define WALK_TURNS 176u", "#define WALK_TURNS 17u"),
        Break("#define BEHIND_MOST (CACHE_LOG_ENTRIES / 4)", "#define BEHIND_MOST (CACHE_LOG_ENTRIES * 4)"),
        Break("#define BEHIND_MOST_MS 10000", "#define BEHIND_MOST_MS 20000"),
        Break("#define BEHIND_MOST_MS 10000", "#define BEHIND_MOST_MS 9000"),
        Break("    atomic_store_explicit(&log->purged[at], 0, memory_order_relaxed);", "    ;"),
        Break("(tag & ~CACHE_TAG_BITS) | flags", "tag | flags"),
        Break("(tag & ~CACHE_TAG_BITS) | flags", "(tag & ~CACHE_TAG_BITS)"),
        Break("atomic_store(&cache->log->has_longer_keys, true);", ";"),
        Break("atomic_store(&cache->log->has_any_group, true);", ";"),
        Break("if (tags->every && (entry & ENTRY_NAME))", "if (tags->every)"),
        Break("if (tags->every && (entry & ENTRY_NAME))", "if (entry & ENTRY_NAME)"),
        Break("if (tags->every && (entry & ENTRY_NAME))", "if (false)"),
        Break("for (uint32_t i = 0; i < tags->count; i++)", "for (uint32_t i = 1; i < tags->count; i++)"),
        Break("for (uint32_t i = 0; i < tags->count; i++)", "for (uint32_t i = 0; i + 1 < tags->count; i++)"),
        Break("(tags->list[i] ^ entry) <= CACHE_TAG_BITS", "(tags->list[i] ^ entry) < CACHE_TAG_BITS"),
        Break("(tags->list[i] ^ entry) <= CACHE_TAG_BITS", "(tags->list[i] ^ entry) == 0"),
        Break(
            "    if (number - from >= CACHE_LOG_ENTRIES)\n        verdict = REMOVED;\n    for",
            "    if (number - from >= 2 * CACHE_LOG_ENTRIES)\n        verdict = REMOVED;\n    for",
            same="what is so far behind is removed at the end all the same: it only takes longer"),
        Break(
            "for (uint64_t n = from + 1; n <= number && verdict != REMOVED; n++)",
            "for (uint64_t n = from; n <= number && verdict != REMOVED; n++)"),
        Break(
            "for (uint64_t n = from + 1; n <= number && verdict != REMOVED; n++)",
            "for (uint64_t n = from + 2; n <= number && verdict != REMOVED; n++)"),
        Break(
            "for (uint64_t n = from + 1; n <= number && verdict != REMOVED; n++)",
            "for (uint64_t n = from + 1; n < number && verdict != REMOVED; n++)"),
        Break(
            "for (uint64_t n = from + 1; n <= number && verdict != REMOVED; n++)",
            "for (uint64_t n = from + 1; n <= number; n++)"),
        Break(
            "for (uint64_t n = from + 1; n <= number && verdict != REMOVED; n++)",
            "for (uint64_t n = from + 1; n <= number && verdict == SPARED; n++)"),
        Break("verdict = entry & ENTRY_SOFT ? SOFTENED : REMOVED;", "verdict = REMOVED;"),
        Break("verdict = entry & ENTRY_SOFT ? SOFTENED : REMOVED;", "verdict = SOFTENED;"),
        Break("        if (counted)\n", "        if (true)\n"),
        Break("        if (counted)\n", "        if (false)\n"),
        Break("    *seen = number;\n    return verdict;", "    return verdict;"),
        Break("    shard->counts.purged++;\n    cache_index_remove_locked", "    cache_index_remove_locked"),
        Break("    shard->counts.purged++;\n    cache_object_soften", "    cache_object_soften"),
        Break("    cache_object_soften(object, now_ms);", "    ;"),
        Break(
            "    if (weir_likely(seen == cache_log_number(log)))\n        return true;",
            "    ;",
            same="it is compared with no entry, and spared: that only takes longer"),
        Break("    if (verdict == SOFTENED)\n        soften_locked", "    if (verdict != REMOVED)\n        soften_locked"),
        Break("    if (verdict == SOFTENED)\n        soften_locked(shard, object, now_ms);", "    ;"),
        Break("    cache_object_set_seen(object, seen);", "    ;"),
        Break(
            "    if (atomic_load_explicit(&fill->purged, memory_order_relaxed) ||\n        (!fill",
            "    if ((!fill",
            same="whoever sets it makes the fill one that cannot be found, and counts a purge in its shard"),
        Break("(!fill->findable && shard->purges != fill->purges_before)", "(shard->purges != fill->purges_before)"),
        Break("(!fill->findable && shard->purges != fill->purges_before)", "(false)"),
        Break(
            "judge(fill->cache->log, tags, &seen, false) != SPARED",
            "judge(fill->cache->log, tags, &seen, false) == REMOVED"),
        Break(
            "judge(fill->cache->log, tags, &seen, false) != SPARED",
            "judge(fill->cache->log, tags, &seen, true) != SPARED"),
        Break(
            "    case CACHE_FILL_TAGS_UNKNOWN:\n        return true;",
            "    case CACHE_FILL_TAGS_UNKNOWN:\n        return false;"),
        Break("    case CACHE_FILL_UNTAGGED:\n        return false;", "    case CACHE_FILL_UNTAGGED:\n        return true;"),
        Break("    if (cache_purge_reaches_fill_locked(shard, fill, fill->tags))\n        return true;", "    ;"),
        Break("    fill->log_number = number;", "    ;"),
        Break("    atomic_store_explicit(&fill->purged, true, memory_order_relaxed);", "    ;"),
        Break("    cache_index_remove_fill_locked(fill);", "    ;"),
        Break("if (fill->key.hash == key->hash && str_equal(fill->key.text, key->text))", "if (true)"),
        Break(
            "            purge_fill_locked(fill);\n    }\n    shard->purges++;",
            "            purge_fill_locked(fill);\n    }\n    ;"),
        Break(
            "        if (cache_object_is_tagged(object) &&\n            !cache_purge_spares_locked(shard, object, now_ms, &gone))\n            continue;\n        count++;",
            "        count++;"),
        Break("        count++;\n        if (soft)", "        if (soft)"),
        Break("        if (soft)\n            soften_locked", "        if (!soft)\n            soften_locked"),
        Break("    purge_fills_locked(shard, key);\n    pthread", "    pthread"),
        Break("return purge_key(cache, key, false, 0);", "return purge_key(cache, key, true, 0);"),
        Break("if (atomic_load(&cache->log->has_longer_keys))", "if (true)"),
        Break("if (atomic_load(&cache->log->has_longer_keys))", "if (false)"),
        Break("cache_tag_of_url(cache, url), soft ? ENTRY_SOFT : 0", "cache_tag_of_url(cache, url), 0"),
        Break("cache_tag_of_url(cache, url), soft ? ENTRY_SOFT : 0", "cache_tag_of_url(cache, url), ENTRY_SOFT"),
        Break(
            "cache_tag_of_url(cache, url), soft ? ENTRY_SOFT : 0",
            "cache_tag_of_url(cache, url), ENTRY_NAME | (soft ? ENTRY_SOFT : 0)"),
        Break("return purge_key(cache, &key, soft, now_ms);", "return purge_key(cache, &key, false, now_ms);"),
        Break("ENTRY_NAME | (soft ? ENTRY_SOFT : 0)", "(soft ? ENTRY_SOFT : 0)"),
        Break("ENTRY_NAME | (soft ? ENTRY_SOFT : 0)", "ENTRY_NAME | ENTRY_SOFT"),
        Break("ENTRY_NAME | (soft ? ENTRY_SOFT : 0)", "ENTRY_NAME"),
        Break("    add_entry(cache, cache_tag_of_group(cache, origin, group), 0);", "    ;"),
        Break("cache_tag_of_group(cache, origin, group), 0", "cache_tag_of_group(cache, origin, group), ENTRY_SOFT"),
        Break("cache_tag_of_group(cache, origin, group), 0", "cache_tag_of_group(cache, origin, group), ENTRY_NAME"),
        Break("if (atomic_load(&cache->log->has_any_group))", "if (true)"),
        Break("if (atomic_load(&cache->log->has_any_group))", "if (false)"),
        Break("    case CACHE_PURGE_ALL:\n        return true;", "    case CACHE_PURGE_ALL:\n        return false;"),
        Break("str_begins(key, job->prefix)", "str_equal(key, job->prefix)"),
        Break("return false; /* the log tells */", "return true; /* the log tells */"),
        Break("purges |= job->what != CACHE_PURGE_LOGGED;", ";"),
        Break("purges |= job->what != CACHE_PURGE_LOGGED;", "purges |= true;"),
        Break("                if (job_matches(job, fill->key.text))\n", "                if (true)\n"),
        Break("                if (job_matches(job, fill->key.text))\n", "                if (false)\n"),
        Break("list < CACHE_FILL_LISTS;", "list < CACHE_FILL_LISTS - 1;"),
        Break("shard->purges += purges;", ";"),
        Break(
            "    if (cache_object_is_tagged(object) && !cache_purge_spares_locked(shard, object, now_ms, gone))\n        return;",
            "    ;"),
        Break("        job->purged++;\n", ""),
        Break("        if (!job->soft) {", "        if (job->soft) {"),
        Break(
            "            remove_locked(shard, object, gone);\n            return;\n        }\n        soften_locked(shard, object, now_ms);",
            "            remove_locked(shard, object, gone);\n            return;\n        }\n        ;"),
        Break(
            "            remove_locked(shard, object, gone);\n            return;\n        }\n        soften_locked(shard, object, now_ms);",
            "            remove_locked(shard, object, gone);\n            return;\n        }\n        soften_locked(shard, object, now_ms);\n        return;"),
        Break("uint64_t size = (uint64_t)shard->mask + 1 + shard->objects;", "uint64_t size = (uint64_t)shard->mask + 1;"),
        Break("walk->turn_steps = size * cache->shard_count / WALK_TURNS;", "walk->turn_steps = size / WALK_TURNS;"),
        Break("        enter_shard_locked(walk, shard);", "        ;"),
        Break("    if (walk->bucket == 0) {", "    if (true) {"),
        Break("o != NULL; o = next, steps++)", "o != NULL; o = next)"),
        Break(
            "walk->bucket <= shard->mask && steps < STEPS_PER_LOCK",
            "walk->bucket < shard->mask && steps < STEPS_PER_LOCK"),
        Break("walk->bucket <= shard->mask && steps < STEPS_PER_LOCK", "walk->bucket <= shard->mask"),
        Break("        walk->bucket = 0;\n        walk->shard++;", "        walk->shard++;"),
        Break("!list_empty(&walk->waiting) || behind >= BEHIND_MOST", "behind >= BEHIND_MOST"),
        Break("behind >= BEHIND_MOST ||", "behind > BEHIND_MOST ||"),
        Break("behind >= BEHIND_MOST ||", "false ||"),
        Break("(behind > 0 && now_ms", "(now_ms"),
        Break("now_ms - walk->ended_ms >= BEHIND_MOST_MS", "now_ms - walk->ended_ms > BEHIND_MOST_MS"),
        Break("walk->shard = walk->bucket = 0;", "walk->shard = 0;", same="the walk before has left the bucket at 0"),
        Break("    while (!list_empty(&walk->waiting)) {", "    if (!list_empty(&walk->waiting)) {"),
        Break("walk->walked_number = walk->number;", "walk->walked_number = cache_log_number(log);"),
        Break("walk->ended_ms = now_ms;", ";"),
        Break("        walk->jobs--;\n", ""),
        Break(
            "        if (job->what == CACHE_PURGE_LOGGED)\n            job->purged",
            "        if (true)\n            job->purged"),
        Break(
            "        if (job->what == CACHE_PURGE_LOGGED)\n            job->purged",
            "        if (false)\n            job->purged"),
        Break("    if (cache->walk.jobs == JOBS_MOST)", "    if (cache->walk.jobs > JOBS_MOST)"),
        Break("    cache->walk.jobs++;", "    ;"),
        Break("    list_remove(&job->link);\n    cache->walk.jobs--;", "    cache->walk.jobs--;"),
        Break("    list_remove(&job->link);\n    cache->walk.jobs--;", "    list_remove(&job->link);"),
        Break("(steps < least || steps < walk->turn_steps)", "(steps < least)"),
        Break("(steps < least || steps < walk->turn_steps)", "(steps < walk->turn_steps)"),
        Break("return walk->under_way || is_due(cache, now_ms);", "return walk->under_way;"),
        Break("#define STEPS_PER_LOCK 32u", "#define STEPS_PER_LOCK 320u"),
    ],
    "cache/tags.c": [
        Break("to->every = true;", ";"),
        Break("to->any_group |= source == CACHE_TAG_OF_GROUPS;", ";"),
        Break("add(to, cache_tag_of_name(to->cache, name), source);", ";"),
        Break(
            "const char *host = memmem(text.ptr, text.len, \"://\", 3);",
            "const char *host = memmem(text.ptr, text.len, \"://\", 4);"),
        Break("return c == ' ' || c == '\\t';", "return c == ' ' && c == '\\t';"),
        Break(
            "        for (end = from; end < value.len && !is_blank(value.ptr[end]);)\n            end++;",
            "        for (end = from; end < value.len && !is_blank(value.ptr[end]);)\n            ;"),
        Break(
            "for (end = from; end < value.len && !is_blank(value.ptr[end]);)",
            "for (end = from; end < value.len && is_blank(value.ptr[end]);)"),
        Break("add_name(to, str_of(value.ptr + from, end - from), CACHE_TAG_OF_SURROGATE_KEY);", ";"),
        Break(
            "if (text.len == 0 || memchr(text.ptr, '\\\\', text.len) == NULL)",
            "if (text.len == 0 && memchr(text.ptr, '\\\\', text.len) == NULL)"),
        Break("*room = appender_on(room->ptr, room->cap);", ";"),
        Break("if (member.type != STRUCTURED_STRING)", "if (member.type == STRUCTURED_STRING)"),
        Break("each(to, without_escapes(member.text, &room));", ";"),
        Break("add(to, cache_tag_of_group(to->cache, to->origin, group), CACHE_TAG_OF_GROUPS);", ";"),
        Break(
            "            sources |= 1u << CACHE_TAG_OF_SURROGATE_KEY;\n        else if (f->id == FIELD_CACHE_TAG)",
            "            sources |= 1u << CACHE_TAG_OF_SURROGATE_KEY;\n        else if (f->id != FIELD_CACHE_TAG)"),
        Break("else if (f->id == FIELD_CACHE_GROUPS)", "else if (f->id != FIELD_CACHE_GROUPS)"),
        Break("sources |= 1u << CACHE_TAG_OF_GROUPS;", ";"),
        Break(
            "        const struct field *f = &response.list[i];\n        if (f->id == FIELD_SURROGATE_KEY)",
            "        const struct field *f = &response.list[i];\n        if (f->id != FIELD_SURROGATE_KEY)"),
        Break(
            "            read_surrogate_key(to, field_value(f));\n        else if (f->id == FIELD_CACHE_TAG)",
            "            read_surrogate_key(to, field_value(f));\n        else if (f->id != FIELD_CACHE_TAG)"),
        Break("if (tags == NULL)", "if (tags != NULL)"),
        Break("tags->count = from->count;", ";"),
        Break("tags->every = from->every;", ";"),
        Break(
            "if (weir_likely(find_sources(response) == 0 && url.len == key_text.len))",
            "if (weir_likely(find_sources(response) == 0 && url.len != key_text.len))"),
        Break(
            "    if (weir_likely(old == NULL && renewed == 0))\n        return true;",
            "    if (weir_likely(old == NULL && renewed == 0))\n        return false;"),
        Break("to.every = old->every;", ";"),
        Break(
            "if (!(renewed & 1u << (old->list[i] & CACHE_TAG_BITS)))",
            "if ((renewed & 1u << (old->list[i] & CACHE_TAG_BITS)))"),
        Break("add(&to, old->list[i], (enum cache_tag_source)(old->list[i] & CACHE_TAG_BITS));", ";"),
        Break("    to->list[to->count++] = (tag & ~CACHE_TAG_BITS) | source;", "    to->list[to->count++] = tag | source;"),
        Break(
            "    to->list[to->count++] = (tag & ~CACHE_TAG_BITS) | source;",
            "    to->list[to->count++] = (tag & ~CACHE_TAG_BITS);"),
        Break("    if (to->count == CACHE_TAGS_MOST) {", "    if (to->count == CACHE_TAGS_MOST - 1) {"),
        Break("to->any_group |= source == CACHE_TAG_OF_GROUPS;", "to->any_group = source == CACHE_TAG_OF_GROUPS;"),
        Break("        kind, XXH3", "        0, XXH3"),
        Break("XXH3_64bits_withSecret(origin.ptr, origin.len, cache->secret, sizeof(cache->secret))", "0"),
        Break(
            "return hash_tag(cache, TAG_ANY_GROUP, origin, STR(\"\"));",
            "return hash_tag(cache, TAG_ANY_GROUP, STR(\"\"), STR(\"\"));"),
        Break("        i += text.ptr[i] == '\\\\';", "        ;"),
        Break("            if (room.overflow)\n                return false;", "            ;"),
        Break("        if (found == STRUCTURED_MALFORMED)\n            return false;", "        ;"),
        Break("    add_name(to, group, CACHE_TAG_OF_GROUPS);", "    ;"),
        Break("        *to = before;", "        ;"),
        Break("        read_strings(response, FIELD_CACHE_GROUP_INVALIDATION, ignore, &to))", "        true)"),
        Break("            sources |= 1u << CACHE_TAG_OF_CACHE_TAG;", "            ;"),
        Break("        cache_purge_expect_any_group(from->cache);", "        ;"),
        Break("    if (url.len < key_text.len)\n", "    if (false)\n"),
    ],
    "cache/reference.c": [
        Break("memmove(path + to, segment.ptr, segment.len);", ";"),
        Break("if (!(c >= 'a' && c <= 'z') &&", "if (!(c >= 'a' || c <= 'z') &&"),
        Break(
            "(i == 0 || !((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.')))",
            "(i == 0 || !((c >= '0' && c <= '9') || c == '+' || c != '-' || c == '.')))"),
        Break(
            "(i == 0 || !((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.')))",
            "(i == 0 || !((c >= '0' && c <= '9') || c == '+' || c == '-' || c != '.')))"),
        Break(
            "(i == 0 || !((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.')))",
            "(i == 0 || !((c > '0' && c <= '9') || c == '+' || c == '-' || c == '.')))"),
        Break(
            "(i == 0 || !((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.')))",
            "(i == 0 || !((c >= '0' && c <= '9') && c == '+' || c == '-' || c == '.')))"),
        Break("if (path.len == 0) {", "if (path.len != 0) {"),
        Break("append_str(out, old_path);", ";"),
        Break(
            "bool has_authority = reference.len >= 2 && memcmp(reference.ptr, \"//\", 2) == 0;",
            "bool has_authority = reference.len > 2 && memcmp(reference.ptr, \"//\", 2) == 0;"),
        Break("if (scheme == 0 && !has_authority) {", "if (scheme == 0 || !has_authority) {"),
        Break(
            "if (url.overflow || !cache_key_from_url(str_of(url.ptr, url.len), out))",
            "if (url.overflow || cache_key_from_url(str_of(url.ptr, url.len), out))"),
        Break("if (!str_equal(target, origin))", "if (str_equal(target, origin))"),
    ],
    "proxy/forward.c": [
        Break(
            "    case FIELD_CACHE_CONTROL:\n    case FIELD_CDN_CACHE_CONTROL:",
            "    case FIELD_CDN_CACHE_CONTROL:",
            stories="test_chunked.py"),
        Break("    case FIELD_VARY:\n    case FIELD_AGE:", "    case FIELD_AGE:", stories="test_chunked.py"),
        Break("    case FIELD_AGE:\n    case FIELD_EXPIRES:", "    case FIELD_EXPIRES:", stories="test_chunked.py"),
        Break("    case FIELD_EXPIRES:\n    case FIELD_DATE:", "    case FIELD_DATE:", stories="test_chunked.py"),
        Break(
            "    case FIELD_CONTENT_LENGTH:\n    case FIELD_CONTENT_TYPE:",
            "    case FIELD_CONTENT_TYPE:",
            stories="test_chunked.py"),
        Break("    case FIELD_SET_COOKIE:\n    case FIELD_COOKIE:", "    case FIELD_COOKIE:", stories="test_chunked.py"),
        Break(
            "        return !field_is_hop_by_hop((enum field_id)f->id);\n    }\n}\n\nbool forward_trailers",
            "        return true;\n    }\n}\n\nbool forward_trailers",
            stories="test_chunked.py"),
        Break("        if (may_be_trailer(&fields.list[i]))", "        if (true)", stories="test_chunked.py"),
        Break(
            "        else if (!field_is_hop_by_hop((enum field_id)f->id) && f->id != FIELD_CONTENT_LENGTH &&",
            "        else if (f->id != FIELD_CONTENT_LENGTH &&",
            stories="test_interim.py"),
        Break(
            "                 !is_named(fields, connection, f))\n            append_field(out, f);\n    }\n    if (upgrade)",
            "                 true)\n            append_field(out, f);\n    }\n    if (upgrade)",
            stories="test_interim.py"),
        Break("        if (!policy_field_is_kept(fields, f))", "        if (false)", stories="test_hop_by_hop.py"),
        Break(
            "        if (f->id == FIELD_DATE)\n            dated = true;",
            "        if (f->id == FIELD_DATE)\n            dated = false;",
            stories="test_hit_miss.py"),
        Break("    if (!dated) {", "    if (false) {", stories="test_hit_miss.py"),
        Break(
            "    if (forward->stored)\n        append_conditions(forward, &out);",
            "    if (forward->stored)\n        ;",
            stories="test_conditional.py"),
        Break(
            "    else if (forward->variants_count > 0)\n        append_variants(forward, &out);",
            "    else if (forward->variants_count > 0)\n        ;",
            stories="test_validation.py"),
        Break(
            "        if (!is_replaced(forward, f) && !is_named(fields, connection, f) &&",
            "        if (!is_replaced(forward, f) &&",
            stories="test_hop_by_hop.py"),
    ],
    "proxy/fetch_head.c": [
        Break(
            "    meta.flags |= old.flags & CACHE_HAS_VARY;\n",
            "    ;\n",
            stories="test_vary.py",
            same="the updated head has its Vary still, by which policy_judge() has set the flag"),
        Break("    meta.status = old.status;\n", "    ;\n", same="policy_judge() was given that status, and has set it"),
        Break(
            "        return FRESHEN_NO_MEMORY;\n    if (out->reason != POLICY_STORE)",
            "        return FRESHEN_NO_MEMORY;\n    if (out->reason == POLICY_STORE)",
            stories="test_validation.py"),
        Break(
            "        cache_drop(cache, &fetch->key, out->object);",
            "        ;",
            stories="test_validation.py"),
        Break(
            "    if (cache_object_meta(chosen).flags & CACHE_HAS_VARY)\n        freshen_others(fetch, chosen);",
            "    if (cache_object_meta(chosen).flags & CACHE_HAS_VARY)\n        ;",
            stories="test_validation.py"),
        Break(
            "            cache_object_meta(found[i]).born_ms <= fetch->requested_ms &&",
            "            cache_object_meta(found[i]).born_ms > fetch->requested_ms &&",
            stories="test_validation.py"),
        Break(
            "    struct cache_object *chosen = fetch->stored ? fetch->stored : choose_variant(fetch);",
            "    struct cache_object *chosen = fetch->stored ? fetch->stored : NULL;",
            stories="test_validation.py"),
        Break("        take_head_answer(fetch);\n    out.reason", "        ;\n    out.reason", stories="test_validation.py"),
        Break(
            "        if (told == POLICY_TOLD_OTHER || meta.status != 200 ||",
            "        if (meta.status != 200 ||",
            stories="test_validation.py"),
        Break(
            "            make_stale(fetch, stored);\n        cache_object_release",
            "            ;\n        cache_object_release",
            stories="test_validation.py"),
        Break("    meta.lifetime_s = meta.lifetime_s < age_s ? meta.lifetime_s : age_s;", "    ;", stories="test_validation.py"),
        Break("        head->reason = POLICY_STALE_IF_ERROR;\n", "        ;\n", stories="test_stale.py"),
        Break("    if (policy_supersedes(head->meta.status, head->reason))", "    if (false)", stories="test_stale.py"),
        Break(
            "    date_answer(fetch);\n    if (cache_object_meta(chosen)",
            "    ;\n    if (cache_object_meta(chosen)",
            stories="test_conditional.py test_validation.py"),
        Break(
            "    if (!cache_vary_build(http1_fields(head), fetch->asked, &vary))",
            "    if (cache_vary_build(http1_fields(head), fetch->asked, &vary))",
            stories="test_vary.py"),
        Break(
            "        if (!cache_vary_build(http1_fields(head), fetch->asked, &vary))\n            out.reason = POLICY_VARY_STAR;",
            "        if (!cache_vary_build(http1_fields(head), fetch->asked, &vary))\n            ;",
            stories="test_vary.py"),
    ],
    "proxy/deliver.c": [
        Break(
            "    bool from_cache = request->outcome == OUTCOME_HIT || request->outcome == OUTCOME_STALE ||",
            "    bool from_cache = request->outcome == OUTCOME_STALE ||",
            stories="test_hit_miss.py"),
        Break("    append_u64(out, age_s);", "    append_u64(out, 0);", stories="test_hop_by_hop.py"),
        Break(
            "    if (!from_cache && !(meta->flags & CACHE_HAD_AGE))",
            "    if (!from_cache)",
            stories="test_hit_miss.py test_hop_by_hop.py"),
        Break(
            "    if (request->ttl_s < 0)\n        append_lit(out, \"-\");",
            "    if (request->ttl_s < 0)\n        ;",
            stories="test_stale.py"),
        Break(
            "    if (request->collapsed)\n        append_lit(out, \"; collapsed\");",
            "    if (request->collapsed)\n        ;",
            stories="test_collapse.py"),
        Break(
            "    if (request->stored)\n        append_lit(out, \"; stored\");",
            "    if (request->stored)\n        ;",
            stories="test_hit_miss.py"),
        Break(
            "    if (request->forward_status || !request->not_modified || request->outcome == OUTCOME_STALE)",
            "    if (request->forward_status || request->outcome == OUTCOME_STALE)",
            stories="test_validation.py"),
    ],
    "proxy/request.c": [
        Break(
            "           (view->vary.len == 0 || cache_vary_matches(view->vary, http1_fields(request->head)));",
            "           true;",
            stories="test_vary.py test_waiters.py"),
        Break(
            "           policy_may_share(meta, &request->directives, request->worker->loop.now_ms) &&",
            "           true &&",
            stories="test_collapse.py test_waiters.py"),
    ],
    "proxy/invalidate.c": [
        Break("method == METHOD_GET || method == METHOD_HEAD", "method == METHOD_HEAD", stories="test_invalidation.py"),
        Break("method == METHOD_GET || method == METHOD_HEAD", "method == METHOD_GET", stories="test_invalidation.py"),
        Break(
            "method == METHOD_HEAD || method == METHOD_OPTIONS ||",
            "method == METHOD_HEAD ||",
            stories="test_invalidation.py"),
        Break("method == METHOD_TRACE || method == METHOD_QUERY", "method == METHOD_QUERY", stories="test_invalidation.py"),
        Break("method == METHOD_TRACE || method == METHOD_QUERY", "method == METHOD_TRACE", stories="test_query.py"),
        Break(
            "arena_copy(&fetch->arena, cache_key_url(str_of(key.ptr, key.len)))",
            "arena_copy(&fetch->arena, str_of(key.ptr, key.len))",
            stories="test_invalidation.py"),
        Break("fetch->worker->cache, url, false,", "fetch->worker->cache, url, true,", stories="test_invalidation.py"),
        Break(
            "    if (!cache_key_resolve(fetch->invalidates, field_value(f), &url))\n        return;",
            "    cache_key_resolve(fetch->invalidates, field_value(f), &url);",
            stories="test_invalidation.py"),
        Break(
            "    if (purge_write_key(fetch->worker->conf, str_of(url.ptr, url.len), &key))\n        purge(fetch, str_of(key.ptr, key.len));",
            "    purge(fetch, str_of(url.ptr, url.len));",
            stories="test_invalidation.py"),
        Break("    if (fetch->invalidates.len == 0)\n        return;", "    ;", stories="test_tags.py"),
        Break("    cache_purge_groups(fetch->worker->cache, fetch->invalidates, fields);", "    ;", stories="test_tags.py"),
        Break("    if (fetch->head.status >= 400)", "    if (fetch->head.status > 400)", stories="test_invalidation.py"),
        Break("    if (fetch->head.status >= 400)", "    if (fetch->head.status >= 300)", stories="test_invalidation.py"),
        Break("    if (fetch->head.status >= 400)", "    if (fetch->head.status >= 500)", stories="test_invalidation.py"),
        Break("    purge(fetch, fetch->invalidates);", "    ;", stories="test_invalidation.py"),
        Break(
            "for (unsigned i = 0; i < fields.count; i++)",
            "for (unsigned i = 0; i + 1 < fields.count; i++)",
            stories="test_invalidation.py"),
        Break(
            "fields.list[i].id == FIELD_LOCATION || fields.list[i].id == FIELD_CONTENT_LOCATION",
            "fields.list[i].id == FIELD_CONTENT_LOCATION",
            stories="test_invalidation.py"),
        Break(
            "fields.list[i].id == FIELD_LOCATION || fields.list[i].id == FIELD_CONTENT_LOCATION",
            "fields.list[i].id == FIELD_LOCATION",
            stories="test_invalidation.py"),
    ],
    "proxy/purge.c": [
        Break(
            "    if (!cache_url_split(url, &parts))\n        return false;",
            "    if (!cache_url_split(url, &parts))\n        return true;",
            stories="test_purge.py"),
        Break(
            "METHOD_GET, STR(\"GET\"), parts.authority",
            "METHOD_OTHER, STR(\"PURGE\"), parts.authority",
            stories="test_key.py"),
        Break("route ? &route->cache.key : NULL", "NULL", stories="test_purge.py"),
        Break(
            "return !out->overflow;",
            "return true;",
            stories="test_purge_method.py test_purge.py",
            same="who calls it has room for the URL and a path, and a key is never longer"),
        Break(
            "return request->route->cache.purge_from_count > 0 &&\n           str",
            "return str",
            stories="test_purge_method.py"),
        Break(
            "           str_equal(request->head->method_name, STR(\"PURGE\"));",
            "           true;",
            stories="test_purge_method.py"),
        Break(
            "str_equal(request->head->method_name, STR(\"PURGE\"))",
            "str_equal_nocase(request->head->method_name, STR(\"PURGE\"))",
            stories="test_purge_method.py"),
        Break(
            "    return f && str_equal(field_value(f), STR(\"1\"));",
            "    return f != NULL;",
            stories="test_purge_method.py"),
        Break("    return f && str_equal(field_value(f), STR(\"1\"));", "    return false;", stories="test_purge_method.py"),
        Break(
            "    if (!conf_network_contains(cache->purge_from, cache->purge_from_count, request->peer))\n        return NULL;",
            "    ;",
            stories="test_purge_method.py"),
        Break("cache->purge_from_count, request->peer", "1, request->peer", stories="test_purge_method.py"),
        Break("cache_key_url(str_of(key.ptr, key.len)),\n", "str_of(key.ptr, key.len),\n", stories="test_purge_method.py"),
        Break("    *local = LOCAL_PURGED;", "    ;", stories="test_purge_method.py"),
        Break("    append_u64(&body, purged);", "    append_u64(&body, purged > 0);", stories="test_purge_method.py"),
    ],
    "proxy/stale.c": [
        Break(
            "    if (worker->draining || request->directives.no_store ||",
            "    if (request->directives.no_store ||",
            stories="test_drain.py"),
        Break(
            "    if (worker->draining || request->directives.no_store ||",
            "    if (worker->draining ||",
            stories="test_stale.py"),
        Break("        .stored = found.object,\n", "        .stored = NULL,\n", stories="test_stale.py"),
        Break("        .findable = true,\n", "        .findable = false,\n", stories="test_stale.py"),
        Break("        .cacheable = true,\n", "        .cacheable = false,\n", stories="test_stale.py"),
        Break("        .refresh = true,\n", "        .refresh = false,\n", stories="test_stale.py"),
        Break("    cell_add(&worker->stats.refreshes, 1);", "    ;", stories="test_stale.py"),
        Break("    request->outcome = OUTCOME_STALE;", "    request->outcome = OUTCOME_HIT;", stories="test_stale.py"),
        Break(
            "    request->stored = false;",
            "    ;",
            stories="test_stale.py",
            same="it is set when something is delivered, behind this"),
        Break("    request->detail = detail;", "    ;", stories="test_stale.py"),
        Break("(int64_t)meta.lifetime_s - policy_age_s", "(int64_t)meta.lifetime_s + policy_age_s", stories="test_stale.py"),
        Break(
            "found->refresh ? \"stale-while-revalidate\" : \"max-stale\"",
            "\"stale-while-revalidate\"",
            stories="test_stale.py"),
        Break(
            "    if (found->refresh)\n",
            "    if (true)\n",
            stories="test_stale.py",
            same="cache_lead_refresh() sees for itself that none is due"),
        Break("    if (found->refresh)\n", "    if (false)\n", stories="test_stale.py"),
        Break(
            "    if (request->outcome == OUTCOME_PASS || request->outcome == OUTCOME_LOCAL)",
            "    if (request->outcome == OUTCOME_LOCAL)",
            stories="test_stale.py"),
        Break(
            "    if (request->outcome == OUTCOME_PASS || request->outcome == OUTCOME_LOCAL)",
            "    if (request->outcome == OUTCOME_PASS)",
            stories="test_stale.py",
            same="who was given an answer of Weir's own leads no fetch any more"),
        Break("&query, found) == CACHE_HIT)", "&query, found) != CACHE_LEAD)", stories="test_stale.py"),
        Break(
            "    if (found->object && (cache_object_meta(found->object).flags & CACHE_MUST_REVALIDATE) != 0)",
            "    if (found->object)",
            stories="test_stale.py"),
        Break(
            "    if (found->object && (cache_object_meta(found->object).flags & CACHE_MUST_REVALIDATE) != 0)",
            "    if (false)",
            stories="test_stale.py"),
        Break(
            "    enum stale_given given = look(request, &found);\n\n    cache_object_release(&found.object);\n    return given;",
            "    enum stale_given given = look(request, &found);\n\n    cache_object_release(&found.object);\n    return given == STALE_GIVEN ? STALE_NONE : given;",
            stories="regress/test_log_of_a_failure_behind_something_stored.py"),
        Break(
            "    enum stale_given given = look(request, &found);\n\n    cache_object_release(&found.object);\n    return given;",
            "    enum stale_given given = look(request, &found);\n\n    cache_object_release(&found.object);\n    return given == STALE_FORBIDDEN ? STALE_NONE : given;",
            stories="regress/test_log_of_a_failure_behind_something_stored.py"),
        Break("        request->forward_status = status;", "        ;", stories="test_stale.py"),
        Break("    return given == STALE_FORBIDDEN && (detail", "    return (detail", stories="test_stale.py"),
        Break(
            "(detail == local_row(LOCAL_CONNECT_FAILED)->detail ||\n                                        detail",
            "(detail",
            stories="test_stale.py"),
        Break(
            "    return given == STALE_FORBIDDEN && (detail",
            "    return given == STALE_FORBIDDEN && (true || detail",
            stories="test_stale.py"),
    ],
}
