






CREATE TABLE public.adjudications (
    id integer NOT NULL,
    item_id integer NOT NULL,
    person_id integer NOT NULL,
    content json NOT NULL,
    reason text NOT NULL,
    created_at bigint NOT NULL
);



CREATE SEQUENCE public.adjudications_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;



ALTER SEQUENCE public.adjudications_id_seq OWNED BY public.adjudications.id;



CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);



CREATE TABLE public.arena_conversations (
    id integer NOT NULL,
    project_id integer NOT NULL,
    person_id integer NOT NULL,
    language character varying(200) NOT NULL,
    "left" character varying(200) NOT NULL,
    "right" character varying(200) NOT NULL,
    created_at bigint NOT NULL
);



CREATE SEQUENCE public.arena_conversations_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;



ALTER SEQUENCE public.arena_conversations_id_seq OWNED BY public.arena_conversations.id;



CREATE TABLE public.arena_turns (
    id integer NOT NULL,
    conversation_id integer NOT NULL,
    number integer NOT NULL,
    text text NOT NULL,
    left_text text,
    right_text text,
    created_at bigint NOT NULL
);



CREATE SEQUENCE public.arena_turns_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;



ALTER SEQUENCE public.arena_turns_id_seq OWNED BY public.arena_turns.id;



CREATE TABLE public.arena_votes (
    id integer NOT NULL,
    client_id character varying(200) NOT NULL,
    turn_id integer NOT NULL,
    person_id integer NOT NULL,
    better character varying(200),
    both_bad boolean NOT NULL,
    content_hash character varying(200) NOT NULL,
    guideline_version integer NOT NULL,
    seconds double precision NOT NULL,
    created_at bigint NOT NULL
);



CREATE SEQUENCE public.arena_votes_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;



ALTER SEQUENCE public.arena_votes_id_seq OWNED BY public.arena_votes.id;



CREATE TABLE public.flags (
    id integer NOT NULL,
    item_id integer NOT NULL,
    person_id integer NOT NULL,
    reason character varying(200) NOT NULL,
    comment text NOT NULL,
    created_at bigint NOT NULL,
    resolution character varying(200),
    resolved_by integer,
    resolved_at bigint
);



CREATE SEQUENCE public.flags_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;



ALTER SEQUENCE public.flags_id_seq OWNED BY public.flags.id;



CREATE TABLE public.guidelines (
    id integer NOT NULL,
    project_id integer NOT NULL,
    version integer NOT NULL,
    text text NOT NULL,
    author_id integer,
    created_at bigint NOT NULL
);



CREATE SEQUENCE public.guidelines_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;



ALTER SEQUENCE public.guidelines_id_seq OWNED BY public.guidelines.id;



CREATE TABLE public.invitations (
    id integer NOT NULL,
    token_hash character varying(200) NOT NULL,
    role character varying(200) NOT NULL,
    languages json NOT NULL,
    invited_by integer,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    used_at bigint,
    person_id integer
);



CREATE SEQUENCE public.invitations_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;



ALTER SEQUENCE public.invitations_id_seq OWNED BY public.invitations.id;



CREATE TABLE public.items (
    id integer NOT NULL,
    project_id integer NOT NULL,
    key character varying(200) NOT NULL,
    language character varying(200) NOT NULL,
    prompt json NOT NULL,
    answers json NOT NULL,
    gold json,
    priority double precision NOT NULL,
    state character varying(200) NOT NULL,
    judged integer NOT NULL,
    parent_id integer,
    origin json NOT NULL,
    author_id integer,
    created_at bigint NOT NULL
);



CREATE SEQUENCE public.items_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;



ALTER SEQUENCE public.items_id_seq OWNED BY public.items.id;



CREATE TABLE public.judgements (
    id integer NOT NULL,
    client_id character varying(200) NOT NULL,
    project_id integer NOT NULL,
    item_id integer NOT NULL,
    person_id integer NOT NULL,
    content json NOT NULL,
    content_hash character varying(200) NOT NULL,
    shown_order json NOT NULL,
    guideline_version integer NOT NULL,
    seconds double precision NOT NULL,
    counted boolean NOT NULL,
    supersedes_id integer,
    created_at bigint NOT NULL
);



CREATE SEQUENCE public.judgements_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;



ALTER SEQUENCE public.judgements_id_seq OWNED BY public.judgements.id;



CREATE TABLE public.leases (
    id integer NOT NULL,
    item_id integer NOT NULL,
    person_id integer NOT NULL,
    taken_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    shown_order json NOT NULL,
    state character varying(200) NOT NULL
);



CREATE SEQUENCE public.leases_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;



ALTER SEQUENCE public.leases_id_seq OWNED BY public.leases.id;



CREATE TABLE public.login_failures (
    id integer NOT NULL,
    name_key character varying(200) NOT NULL,
    address character varying(200) NOT NULL,
    at bigint NOT NULL
);



CREATE SEQUENCE public.login_failures_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;



ALTER SEQUENCE public.login_failures_id_seq OWNED BY public.login_failures.id;



CREATE TABLE public.people (
    id integer NOT NULL,
    name character varying(200),
    name_key character varying(200),
    pseudonym character varying(200) NOT NULL,
    role character varying(200) NOT NULL,
    languages json NOT NULL,
    password_hash character varying(200),
    created_at bigint NOT NULL,
    deleted_at bigint
);



CREATE SEQUENCE public.people_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;



ALTER SEQUENCE public.people_id_seq OWNED BY public.people.id;



CREATE TABLE public.projects (
    id integer NOT NULL,
    slug character varying(200) NOT NULL,
    title character varying(200) NOT NULL,
    kind character varying(200) NOT NULL,
    languages json NOT NULL,
    overlap integer NOT NULL,
    gold_rate double precision NOT NULL,
    lease_seconds integer NOT NULL,
    options json NOT NULL,
    feeds_id integer,
    is_open boolean NOT NULL,
    created_at bigint NOT NULL
);



CREATE SEQUENCE public.projects_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;



ALTER SEQUENCE public.projects_id_seq OWNED BY public.projects.id;



CREATE TABLE public.quotas (
    project_id integer NOT NULL,
    language character varying(200) NOT NULL,
    items integer NOT NULL
);



CREATE TABLE public.sessions (
    id integer NOT NULL,
    token_hash character varying(200) NOT NULL,
    person_id integer NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL
);



CREATE SEQUENCE public.sessions_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;



ALTER SEQUENCE public.sessions_id_seq OWNED BY public.sessions.id;



CREATE TABLE public.skips (
    id integer NOT NULL,
    item_id integer NOT NULL,
    person_id integer NOT NULL,
    reason text NOT NULL,
    created_at bigint NOT NULL
);



CREATE SEQUENCE public.skips_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;



ALTER SEQUENCE public.skips_id_seq OWNED BY public.skips.id;



ALTER TABLE ONLY public.adjudications ALTER COLUMN id SET DEFAULT nextval('public.adjudications_id_seq'::regclass);



ALTER TABLE ONLY public.arena_conversations ALTER COLUMN id SET DEFAULT nextval('public.arena_conversations_id_seq'::regclass);



ALTER TABLE ONLY public.arena_turns ALTER COLUMN id SET DEFAULT nextval('public.arena_turns_id_seq'::regclass);



ALTER TABLE ONLY public.arena_votes ALTER COLUMN id SET DEFAULT nextval('public.arena_votes_id_seq'::regclass);



ALTER TABLE ONLY public.flags ALTER COLUMN id SET DEFAULT nextval('public.flags_id_seq'::regclass);



ALTER TABLE ONLY public.guidelines ALTER COLUMN id SET DEFAULT nextval('public.guidelines_id_seq'::regclass);



ALTER TABLE ONLY public.invitations ALTER COLUMN id SET DEFAULT nextval('public.invitations_id_seq'::regclass);



ALTER TABLE ONLY public.items ALTER COLUMN id SET DEFAULT nextval('public.items_id_seq'::regclass);



ALTER TABLE ONLY public.judgements ALTER COLUMN id SET DEFAULT nextval('public.judgements_id_seq'::regclass);



ALTER TABLE ONLY public.leases ALTER COLUMN id SET DEFAULT nextval('public.leases_id_seq'::regclass);



ALTER TABLE ONLY public.login_failures ALTER COLUMN id SET DEFAULT nextval('public.login_failures_id_seq'::regclass);



ALTER TABLE ONLY public.people ALTER COLUMN id SET DEFAULT nextval('public.people_id_seq'::regclass);



ALTER TABLE ONLY public.projects ALTER COLUMN id SET DEFAULT nextval('public.projects_id_seq'::regclass);



ALTER TABLE ONLY public.sessions ALTER COLUMN id SET DEFAULT nextval('public.sessions_id_seq'::regclass);



ALTER TABLE ONLY public.skips ALTER COLUMN id SET DEFAULT nextval('public.skips_id_seq'::regclass);



INSERT INTO public.adjudications VALUES (1, 1, 3, '{"better": 1, "strength": 2}', 'It says more.', 1800000000000);



INSERT INTO public.alembic_version VALUES ('0001');



INSERT INTO public.arena_conversations VALUES (1, 5, 2, 'en', 'amber', 'beryl', 1800000000000);



INSERT INTO public.arena_turns VALUES (1, 1, 0, 'What is opal?', 'A gem, says the left.', 'A gem, says the right.', 1800000000000);
INSERT INTO public.arena_turns VALUES (2, 1, 1, 'And onyx?', NULL, NULL, 1800000000000);



INSERT INTO public.arena_votes VALUES (1, 'arena-vote', 1, 2, 'left', false, '00c3d2b6c25adcfb2d9aff5c249d52adcfb1ced5c43ee8862fe62a150f2eaac1', 0, 0, 1800000000000);



INSERT INTO public.flags VALUES (1, 6, 3, 'unclear', '<b>See</b>', 1800000000000, NULL, NULL, NULL);
INSERT INTO public.flags VALUES (2, 6, 3, 'harmful', '<b>See</b>', 1800000000000, 'dismissed', 3, 1800000000000);



INSERT INTO public.guidelines VALUES (1, 1, 1, 'Read all.', 1, 1800000000000);
INSERT INTO public.guidelines VALUES (2, 1, 2, 'Read all.

- Then judge 🙂.', 1, 1800000000001);



INSERT INTO public.invitations VALUES (1, 'a0c61b92e01585937108caf4c07ddf5543d852c5dfc6f23a04820d54d1eaf8c3', 'annotator', '["en"]', 1, 1800000000000, 1800604800000, 1800000000000, 4);



INSERT INTO public.items VALUES (1, 1, 'opal', 'en', '[{"role": "user", "content": "What is opal?"}]', '[{"messages": [{"role": "assistant", "content": "opal!"}], "model": "m0"}, {"messages": [{"role": "assistant", "content": "opal is a ''gem'', \"they\" say."}], "model": "m1"}]', NULL, 0.25, 'done', 2, NULL, '{"file": "gems.jsonl", "row": 1, "columns": {"source": {"page": 7}}}', NULL, 1800000000000);
INSERT INTO public.items VALUES (2, 1, 'العقيق', 'ar', '[{"role": "user", "content": "What is \u0627\u0644\u0639\u0642\u064a\u0642?"}]', '[{"messages": [{"role": "assistant", "content": "\u0627\u0644\u0639\u0642\u064a\u0642!"}], "model": "m0"}, {"messages": [{"role": "assistant", "content": "\u0627\u0644\u0639\u0642\u064a\u0642 is a ''gem'', \"they\" say."}], "model": "m1"}]', NULL, 0.25, 'done', 2, NULL, '{"file": "gems.jsonl", "row": 1, "columns": {"source": {"page": 7}}}', NULL, 1800000000000);
INSERT INTO public.items VALUES (3, 1, '欧泊', 'en', '[{"role": "user", "content": "What is \u6b27\u6cca?"}]', '[{"messages": [{"role": "assistant", "content": "\u6b27\u6cca!"}], "model": "m0"}, {"messages": [{"role": "assistant", "content": "\u6b27\u6cca is a ''gem'', \"they\" say."}], "model": "m1"}]', NULL, 0.25, 'open', 1, NULL, '{"file": "gems.jsonl", "row": 1, "columns": {"source": {"page": 7}}}', NULL, 1800000000000);
INSERT INTO public.items VALUES (4, 1, 'ruby', 'en', '[{"role": "user", "content": "What is ruby?"}]', '[{"messages": [{"role": "assistant", "content": "ruby!"}], "model": "m0"}, {"messages": [{"role": "assistant", "content": "ruby is a ''gem'', \"they\" say."}], "model": "m1"}]', NULL, 0.25, 'open', 0, NULL, '{"file": "gems.jsonl", "row": 1, "columns": {"source": {"page": 7}}}', NULL, 1800000000000);
INSERT INTO public.items VALUES (5, 1, 'topaz', 'en', '[{"role": "user", "content": "What is topaz?"}]', '[{"messages": [{"role": "assistant", "content": "topaz!"}], "model": "m0"}, {"messages": [{"role": "assistant", "content": "topaz is a ''gem'', \"they\" say."}], "model": "m1"}]', NULL, 0.25, 'open', 0, NULL, '{"file": "gems.jsonl", "row": 1, "columns": {"source": {"page": 7}}}', NULL, 1800000000000);
INSERT INTO public.items VALUES (6, 1, 'jade', 'en', '[{"role": "user", "content": "What is jade?"}]', '[{"messages": [{"role": "assistant", "content": "jade!"}], "model": "m0"}, {"messages": [{"role": "assistant", "content": "jade is a ''gem'', \"they\" say."}], "model": "m1"}]', '{"better": 0}', 0.25, 'open', 0, NULL, '{"file": "gems.jsonl", "row": 1, "columns": {"source": {"page": 7}}}', NULL, 1800000000000);
INSERT INTO public.items VALUES (7, 4, 'created-1800000000000-2-7', 'en', '[]', '[]', NULL, 0, 'done', 1, NULL, '{}', NULL, 1800000000000);
INSERT INTO public.items VALUES (8, 3, 'write-8', 'en', '[{"role": "user", "content": "What is onix?"}]', '[]', NULL, 0, 'done', 1, 7, '{"project": "write", "judgement": 8}', 2, 1800000000003);
INSERT INTO public.items VALUES (9, 2, 'review-8', 'en', '[{"role": "user", "content": "What is onyx?"}]', '[]', NULL, 0, 'open', 0, 8, '{"project": "review", "item": 8}', NULL, 1800000000003);



INSERT INTO public.judgements VALUES (1, 'pair-1-2-first', 1, 1, 2, '{"comment": "\u00deetta er betra.", "better": 0, "strength": 3}', 'ef2492a928bb962ad98cc8019d42b8cc3ded7e17374ed94c2274c53ab1945e3f', '[1, 0]', 2, 4.5, true, NULL, 1800000000002);
INSERT INTO public.judgements VALUES (2, 'pair-2-2-first', 1, 2, 2, '{"comment": "\u00deetta er betra.", "better": 0, "strength": 3}', '9d267aec290ca903a42b37d99e23d6dec0d278f56d63a40d391fa49556cd96cc', '[1, 0]', 2, 4.5, true, NULL, 1800000000002);
INSERT INTO public.judgements VALUES (3, 'pair-3-2-first', 1, 3, 2, '{"comment": "\u00deetta er betra.", "better": 0, "strength": 3}', '49ec19ee366207f428772ec38264f074216a52f2d781bd6ce439e30d14af431c', '[0, 1]', 2, 4.5, true, NULL, 1800000000002);
INSERT INTO public.judgements VALUES (4, 'pair-6-3-first', 1, 6, 3, '{"comment": "\u00deetta er betra.", "better": 1, "strength": 3}', '8568feba2e56073f8321609e21664338db7728b110075da43d052bdae7c506a2', '[0, 1]', 2, 4.5, true, NULL, 1800000000002);
INSERT INTO public.judgements VALUES (5, 'pair-1-3-first', 1, 1, 3, '{"comment": "\u00deetta er betra.", "better": 1, "strength": 3}', '9889291d39c2961675a6473965dfd6e92756c618dc9a593129385de2f43c5ea8', '[1, 0]', 2, 4.5, true, NULL, 1800000000002);
INSERT INTO public.judgements VALUES (6, 'pair-2-3-first', 1, 2, 3, '{"comment": "\u00deetta er betra.", "better": 1, "strength": 3}', '9d267aec290ca903a42b37d99e23d6dec0d278f56d63a40d391fa49556cd96cc', '[0, 1]', 2, 4.5, true, NULL, 1800000000002);
INSERT INTO public.judgements VALUES (7, 'pair-6-3-again', 1, 6, 3, '{"comment": "\u00deetta er betra.", "better": 0, "strength": 3}', '985c867fce2aee36635d055469792aa483b800d1886c286aef6eda001b911e12', '[0, 1]', 2, 4.5, true, 4, 1800000000002);
INSERT INTO public.judgements VALUES (8, 'prompt-write', 4, 7, 2, '{"text": "What is onix?"}', 'c9af1b2725bb1d4b8cab0de3289950caad7d6700f92121e97506c29a729a4519', '[]', 0, 0, true, NULL, 1800000000003);
INSERT INTO public.judgements VALUES (9, 'prompt-review', 3, 8, 3, '{"verdict": "edit", "text": "What is onyx?", "reasons": ["unclear"]}', '446485dfa49ad51fee14bf81d75f14c089111bfd220ddbb6509d7b66e5307a19', '[]', 0, 0, true, NULL, 1800000000003);



INSERT INTO public.leases VALUES (1, 1, 2, 1800000000000, 1800000060000, '[1, 0]', 'judged');
INSERT INTO public.leases VALUES (2, 2, 2, 1800000000000, 1800000060000, '[1, 0]', 'judged');
INSERT INTO public.leases VALUES (3, 3, 2, 1800000000000, 1800000060000, '[0, 1]', 'judged');
INSERT INTO public.leases VALUES (4, 6, 3, 1800000000000, 1800000060000, '[0, 1]', 'judged');
INSERT INTO public.leases VALUES (5, 1, 3, 1800000000000, 1800000060000, '[1, 0]', 'judged');
INSERT INTO public.leases VALUES (6, 2, 3, 1800000000000, 1800000060000, '[0, 1]', 'judged');
INSERT INTO public.leases VALUES (7, 3, 4, 1800000000000, 1800000060000, '[1, 0]', 'skipped');
INSERT INTO public.leases VALUES (8, 7, 2, 1800000000000, 1800000060000, '[]', 'judged');
INSERT INTO public.leases VALUES (9, 8, 3, 1800000000000, 1800000060000, '[]', 'judged');



INSERT INTO public.login_failures VALUES (1, 'ada', '127.0.0.1', 1800000000000);



INSERT INTO public.people VALUES (1, 'Eva', 'eva', 'p-upgh5cpe', 'admin', '["en", "ar"]', '$argon2id$v=19$m=65536,t=3,p=4$1gj6lNeRSQJzkRlQpZ1XZg$KPooVIEK2894Arrne7RDG0vEQTC6h3omz/dZi5em0Bg', 1800000000000, NULL);
INSERT INTO public.people VALUES (2, 'Ada Þorn', 'ada þorn', 'p-887w4nfs', 'annotator', '["en", "ar"]', '$argon2id$v=19$m=65536,t=3,p=4$TJ7ceLnc9R4PcnFi1Ng5tQ$OYZIu2wgmmd2YdG/wInk+WlU1Isc+h9Jf5zYhkASH/g', 1800000000000, NULL);
INSERT INTO public.people VALUES (3, 'أمل', 'أمل', 'p-mhsq754v', 'reviewer', '["en", "ar"]', '$argon2id$v=19$m=65536,t=3,p=4$brXyJsvdJxj/BvPbOxzUkA$OkibqvbVV+l/p3HxsH3LXwGI1LwNmNVGQh5Nbi50IhQ', 1800000000000, NULL);
INSERT INTO public.people VALUES (4, NULL, NULL, 'p-2zvwd7m7', 'annotator', '[]', NULL, 1800000000000, 1800000000000);



INSERT INTO public.projects VALUES (1, 'gems', 'Gems', 'compare', '["en", "ar"]', 2, 0.3, 60, '{"scales": ["helpful", "honest", "harmless", "coherent"], "highest": 5, "ties": true, "strengths": 3, "labels": ["good", "wrong", "unclear", "harmful"], "reasons": ["unclear", "not a prompt", "wrong language", "harmful", "duplicate", "personal data"], "longest": 20000, "models": []}', NULL, true, 0);
INSERT INTO public.projects VALUES (2, 'answer', 'Answer', 'demonstrate', '["en", "ar"]', 1, 0, 60, '{"scales": ["helpful", "honest", "harmless", "coherent"], "highest": 5, "ties": true, "strengths": 3, "labels": ["good", "wrong", "unclear", "harmful"], "reasons": ["unclear", "not a prompt", "wrong language", "harmful", "duplicate", "personal data"], "longest": 20000, "models": []}', NULL, true, 0);
INSERT INTO public.projects VALUES (3, 'review', 'Review', 'evaluate', '["en", "ar"]', 1, 0, 60, '{"scales": ["helpful", "honest", "harmless", "coherent"], "highest": 5, "ties": true, "strengths": 3, "labels": ["good", "wrong", "unclear", "harmful"], "reasons": ["unclear", "not a prompt", "wrong language", "harmful", "duplicate", "personal data"], "longest": 20000, "models": []}', 2, true, 0);
INSERT INTO public.projects VALUES (4, 'write', 'Write', 'create', '["en", "ar"]', 1, 0, 60, '{"scales": ["helpful", "honest", "harmless", "coherent"], "highest": 5, "ties": true, "strengths": 3, "labels": ["good", "wrong", "unclear", "harmful"], "reasons": ["unclear", "not a prompt", "wrong language", "harmful", "duplicate", "personal data"], "longest": 20000, "models": []}', 3, true, 0);
INSERT INTO public.projects VALUES (5, 'ring', 'Ring', 'arena', '["en", "ar"]', 1, 0, 60, '{"scales": ["helpful", "honest", "harmless", "coherent"], "highest": 5, "ties": true, "strengths": 3, "labels": ["good", "wrong", "unclear", "harmful"], "reasons": ["unclear", "not a prompt", "wrong language", "harmful", "duplicate", "personal data"], "longest": 20000, "models": ["amber", "beryl"]}', NULL, true, 0);



INSERT INTO public.quotas VALUES (1, 'ar', 3);
INSERT INTO public.quotas VALUES (1, 'en', 9);



INSERT INTO public.sessions VALUES (1, 'a5fd4f0be2c8e704926208f4e10e3896f7488b8e63d966a246ae1d133990ce8f', 2, 1800000000000, 1801209600000);



INSERT INTO public.skips VALUES (1, 3, 4, 'unclear', 1800000000000);



SELECT pg_catalog.setval('public.adjudications_id_seq', 2, false);



SELECT pg_catalog.setval('public.arena_conversations_id_seq', 2, false);



SELECT pg_catalog.setval('public.arena_turns_id_seq', 3, false);



SELECT pg_catalog.setval('public.arena_votes_id_seq', 2, false);



SELECT pg_catalog.setval('public.flags_id_seq', 3, false);



SELECT pg_catalog.setval('public.guidelines_id_seq', 3, false);



SELECT pg_catalog.setval('public.invitations_id_seq', 2, false);



SELECT pg_catalog.setval('public.items_id_seq', 10, false);



SELECT pg_catalog.setval('public.judgements_id_seq', 10, false);



SELECT pg_catalog.setval('public.leases_id_seq', 10, false);



SELECT pg_catalog.setval('public.login_failures_id_seq', 2, false);



SELECT pg_catalog.setval('public.people_id_seq', 5, false);



SELECT pg_catalog.setval('public.projects_id_seq', 6, false);



SELECT pg_catalog.setval('public.sessions_id_seq', 2, false);



SELECT pg_catalog.setval('public.skips_id_seq', 2, false);



ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);



ALTER TABLE ONLY public.adjudications
    ADD CONSTRAINT pk_adjudications PRIMARY KEY (id);



ALTER TABLE ONLY public.arena_conversations
    ADD CONSTRAINT pk_arena_conversations PRIMARY KEY (id);



ALTER TABLE ONLY public.arena_turns
    ADD CONSTRAINT pk_arena_turns PRIMARY KEY (id);



ALTER TABLE ONLY public.arena_votes
    ADD CONSTRAINT pk_arena_votes PRIMARY KEY (id);



ALTER TABLE ONLY public.flags
    ADD CONSTRAINT pk_flags PRIMARY KEY (id);



ALTER TABLE ONLY public.guidelines
    ADD CONSTRAINT pk_guidelines PRIMARY KEY (id);



ALTER TABLE ONLY public.invitations
    ADD CONSTRAINT pk_invitations PRIMARY KEY (id);



ALTER TABLE ONLY public.items
    ADD CONSTRAINT pk_items PRIMARY KEY (id);



ALTER TABLE ONLY public.judgements
    ADD CONSTRAINT pk_judgements PRIMARY KEY (id);



ALTER TABLE ONLY public.leases
    ADD CONSTRAINT pk_leases PRIMARY KEY (id);



ALTER TABLE ONLY public.login_failures
    ADD CONSTRAINT pk_login_failures PRIMARY KEY (id);



ALTER TABLE ONLY public.people
    ADD CONSTRAINT pk_people PRIMARY KEY (id);



ALTER TABLE ONLY public.projects
    ADD CONSTRAINT pk_projects PRIMARY KEY (id);



ALTER TABLE ONLY public.quotas
    ADD CONSTRAINT pk_quotas PRIMARY KEY (project_id, language);



ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT pk_sessions PRIMARY KEY (id);



ALTER TABLE ONLY public.skips
    ADD CONSTRAINT pk_skips PRIMARY KEY (id);



ALTER TABLE ONLY public.arena_turns
    ADD CONSTRAINT uq_arena_turns_conversation_id_number UNIQUE (conversation_id, number);



ALTER TABLE ONLY public.arena_votes
    ADD CONSTRAINT uq_arena_votes_client_id UNIQUE (client_id);



ALTER TABLE ONLY public.arena_votes
    ADD CONSTRAINT uq_arena_votes_turn_id_person_id UNIQUE (turn_id, person_id);



ALTER TABLE ONLY public.guidelines
    ADD CONSTRAINT uq_guidelines_project_id_version UNIQUE (project_id, version);



ALTER TABLE ONLY public.invitations
    ADD CONSTRAINT uq_invitations_token_hash UNIQUE (token_hash);



ALTER TABLE ONLY public.items
    ADD CONSTRAINT uq_items_project_id_key UNIQUE (project_id, key);



ALTER TABLE ONLY public.judgements
    ADD CONSTRAINT uq_judgements_client_id UNIQUE (client_id);



ALTER TABLE ONLY public.judgements
    ADD CONSTRAINT uq_judgements_supersedes_id UNIQUE (supersedes_id);



ALTER TABLE ONLY public.leases
    ADD CONSTRAINT uq_leases_item_id_person_id UNIQUE (item_id, person_id);



ALTER TABLE ONLY public.people
    ADD CONSTRAINT uq_people_name_key UNIQUE (name_key);



ALTER TABLE ONLY public.people
    ADD CONSTRAINT uq_people_pseudonym UNIQUE (pseudonym);



ALTER TABLE ONLY public.projects
    ADD CONSTRAINT uq_projects_slug UNIQUE (slug);



ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT uq_sessions_token_hash UNIQUE (token_hash);



ALTER TABLE ONLY public.skips
    ADD CONSTRAINT uq_skips_item_id_person_id UNIQUE (item_id, person_id);



CREATE INDEX ix_adjudications_item_id ON public.adjudications USING btree (item_id);



CREATE INDEX ix_arena_conversations_person_id ON public.arena_conversations USING btree (person_id);



CREATE INDEX ix_arena_conversations_project_id ON public.arena_conversations USING btree (project_id);



CREATE INDEX ix_flags_item_id ON public.flags USING btree (item_id);



CREATE INDEX ix_items_parent_id ON public.items USING btree (parent_id);



CREATE INDEX ix_items_queue ON public.items USING btree (project_id, state, language, priority DESC, judged DESC, id);



CREATE INDEX ix_judgements_item_id ON public.judgements USING btree (item_id);



CREATE INDEX ix_judgements_person_id_project_id ON public.judgements USING btree (person_id, project_id);



CREATE INDEX ix_judgements_project_id ON public.judgements USING btree (project_id);



CREATE INDEX ix_leases_person_id_state ON public.leases USING btree (person_id, state);



CREATE INDEX ix_login_failures_address ON public.login_failures USING btree (address);



CREATE INDEX ix_login_failures_name_key ON public.login_failures USING btree (name_key);



CREATE INDEX ix_sessions_person_id ON public.sessions USING btree (person_id);



CREATE UNIQUE INDEX uq_judgements_first ON public.judgements USING btree (item_id, person_id) WHERE (supersedes_id IS NULL);



ALTER TABLE ONLY public.adjudications
    ADD CONSTRAINT fk_adjudications_item_id FOREIGN KEY (item_id) REFERENCES public.items(id);



ALTER TABLE ONLY public.adjudications
    ADD CONSTRAINT fk_adjudications_person_id FOREIGN KEY (person_id) REFERENCES public.people(id);



ALTER TABLE ONLY public.arena_conversations
    ADD CONSTRAINT fk_arena_conversations_person_id FOREIGN KEY (person_id) REFERENCES public.people(id);



ALTER TABLE ONLY public.arena_conversations
    ADD CONSTRAINT fk_arena_conversations_project_id FOREIGN KEY (project_id) REFERENCES public.projects(id);



ALTER TABLE ONLY public.arena_turns
    ADD CONSTRAINT fk_arena_turns_conversation_id FOREIGN KEY (conversation_id) REFERENCES public.arena_conversations(id);



ALTER TABLE ONLY public.arena_votes
    ADD CONSTRAINT fk_arena_votes_person_id FOREIGN KEY (person_id) REFERENCES public.people(id);



ALTER TABLE ONLY public.arena_votes
    ADD CONSTRAINT fk_arena_votes_turn_id FOREIGN KEY (turn_id) REFERENCES public.arena_turns(id);



ALTER TABLE ONLY public.flags
    ADD CONSTRAINT fk_flags_item_id FOREIGN KEY (item_id) REFERENCES public.items(id);



ALTER TABLE ONLY public.flags
    ADD CONSTRAINT fk_flags_person_id FOREIGN KEY (person_id) REFERENCES public.people(id);



ALTER TABLE ONLY public.flags
    ADD CONSTRAINT fk_flags_resolved_by FOREIGN KEY (resolved_by) REFERENCES public.people(id);



ALTER TABLE ONLY public.guidelines
    ADD CONSTRAINT fk_guidelines_author_id FOREIGN KEY (author_id) REFERENCES public.people(id);



ALTER TABLE ONLY public.guidelines
    ADD CONSTRAINT fk_guidelines_project_id FOREIGN KEY (project_id) REFERENCES public.projects(id);



ALTER TABLE ONLY public.invitations
    ADD CONSTRAINT fk_invitations_invited_by FOREIGN KEY (invited_by) REFERENCES public.people(id);



ALTER TABLE ONLY public.invitations
    ADD CONSTRAINT fk_invitations_person_id FOREIGN KEY (person_id) REFERENCES public.people(id);



ALTER TABLE ONLY public.items
    ADD CONSTRAINT fk_items_author_id FOREIGN KEY (author_id) REFERENCES public.people(id);



ALTER TABLE ONLY public.items
    ADD CONSTRAINT fk_items_parent_id FOREIGN KEY (parent_id) REFERENCES public.items(id);



ALTER TABLE ONLY public.items
    ADD CONSTRAINT fk_items_project_id FOREIGN KEY (project_id) REFERENCES public.projects(id);



ALTER TABLE ONLY public.judgements
    ADD CONSTRAINT fk_judgements_item_id FOREIGN KEY (item_id) REFERENCES public.items(id);



ALTER TABLE ONLY public.judgements
    ADD CONSTRAINT fk_judgements_person_id FOREIGN KEY (person_id) REFERENCES public.people(id);



ALTER TABLE ONLY public.judgements
    ADD CONSTRAINT fk_judgements_project_id FOREIGN KEY (project_id) REFERENCES public.projects(id);



ALTER TABLE ONLY public.judgements
    ADD CONSTRAINT fk_judgements_supersedes_id FOREIGN KEY (supersedes_id) REFERENCES public.judgements(id);



ALTER TABLE ONLY public.leases
    ADD CONSTRAINT fk_leases_item_id FOREIGN KEY (item_id) REFERENCES public.items(id);



ALTER TABLE ONLY public.leases
    ADD CONSTRAINT fk_leases_person_id FOREIGN KEY (person_id) REFERENCES public.people(id);



ALTER TABLE ONLY public.projects
    ADD CONSTRAINT fk_projects_feeds_id FOREIGN KEY (feeds_id) REFERENCES public.projects(id);



ALTER TABLE ONLY public.quotas
    ADD CONSTRAINT fk_quotas_project_id FOREIGN KEY (project_id) REFERENCES public.projects(id);



ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT fk_sessions_person_id FOREIGN KEY (person_id) REFERENCES public.people(id);



ALTER TABLE ONLY public.skips
    ADD CONSTRAINT fk_skips_item_id FOREIGN KEY (item_id) REFERENCES public.items(id);



ALTER TABLE ONLY public.skips
    ADD CONSTRAINT fk_skips_person_id FOREIGN KEY (person_id) REFERENCES public.people(id);




