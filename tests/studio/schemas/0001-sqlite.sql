BEGIN TRANSACTION;
CREATE TABLE adjudications (
	id INTEGER NOT NULL, 
	item_id INTEGER NOT NULL, 
	person_id INTEGER NOT NULL, 
	content JSON NOT NULL, 
	reason TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_adjudications PRIMARY KEY (id), 
	CONSTRAINT fk_adjudications_item_id FOREIGN KEY(item_id) REFERENCES items (id), 
	CONSTRAINT fk_adjudications_person_id FOREIGN KEY(person_id) REFERENCES people (id)
);
INSERT INTO "adjudications" VALUES(1,1,3,'{"better": 1, "strength": 2}','It says more.',1800000000000);
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE arena_conversations (
	id INTEGER NOT NULL, 
	project_id INTEGER NOT NULL, 
	person_id INTEGER NOT NULL, 
	language VARCHAR(200) NOT NULL, 
	"left" VARCHAR(200) NOT NULL, 
	"right" VARCHAR(200) NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_arena_conversations PRIMARY KEY (id), 
	CONSTRAINT fk_arena_conversations_person_id FOREIGN KEY(person_id) REFERENCES people (id), 
	CONSTRAINT fk_arena_conversations_project_id FOREIGN KEY(project_id) REFERENCES projects (id)
);
INSERT INTO "arena_conversations" VALUES(1,5,2,'en','amber','beryl',1800000000000);
CREATE TABLE arena_turns (
	id INTEGER NOT NULL, 
	conversation_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	text TEXT NOT NULL, 
	left_text TEXT, 
	right_text TEXT, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_arena_turns PRIMARY KEY (id), 
	CONSTRAINT fk_arena_turns_conversation_id FOREIGN KEY(conversation_id) REFERENCES arena_conversations (id), 
	CONSTRAINT uq_arena_turns_conversation_id_number UNIQUE (conversation_id, number)
);
INSERT INTO "arena_turns" VALUES(1,1,0,'What is opal?','A gem, says the left.','A gem, says the right.',1800000000000);
INSERT INTO "arena_turns" VALUES(2,1,1,'And onyx?',NULL,NULL,1800000000000);
CREATE TABLE arena_votes (
	id INTEGER NOT NULL, 
	client_id VARCHAR(200) NOT NULL, 
	turn_id INTEGER NOT NULL, 
	person_id INTEGER NOT NULL, 
	better VARCHAR(200), 
	both_bad BOOLEAN NOT NULL, 
	content_hash VARCHAR(200) NOT NULL, 
	guideline_version INTEGER NOT NULL, 
	seconds DOUBLE NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_arena_votes PRIMARY KEY (id), 
	CONSTRAINT fk_arena_votes_person_id FOREIGN KEY(person_id) REFERENCES people (id), 
	CONSTRAINT fk_arena_votes_turn_id FOREIGN KEY(turn_id) REFERENCES arena_turns (id), 
	CONSTRAINT uq_arena_votes_client_id UNIQUE (client_id), 
	CONSTRAINT uq_arena_votes_turn_id_person_id UNIQUE (turn_id, person_id)
);
INSERT INTO "arena_votes" VALUES(1,'arena-vote',1,2,'left',0,'00c3d2b6c25adcfb2d9aff5c249d52adcfb1ced5c43ee8862fe62a150f2eaac1',0,0.0,1800000000000);
CREATE TABLE flags (
	id INTEGER NOT NULL, 
	item_id INTEGER NOT NULL, 
	person_id INTEGER NOT NULL, 
	reason VARCHAR(200) NOT NULL, 
	comment TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	resolution VARCHAR(200), 
	resolved_by INTEGER, 
	resolved_at BIGINT, 
	CONSTRAINT pk_flags PRIMARY KEY (id), 
	CONSTRAINT fk_flags_item_id FOREIGN KEY(item_id) REFERENCES items (id), 
	CONSTRAINT fk_flags_person_id FOREIGN KEY(person_id) REFERENCES people (id), 
	CONSTRAINT fk_flags_resolved_by FOREIGN KEY(resolved_by) REFERENCES people (id)
);
INSERT INTO "flags" VALUES(1,6,3,'unclear','<b>See</b>',1800000000000,NULL,NULL,NULL);
INSERT INTO "flags" VALUES(2,6,3,'harmful','<b>See</b>',1800000000000,'dismissed',3,1800000000000);
CREATE TABLE guidelines (
	id INTEGER NOT NULL, 
	project_id INTEGER NOT NULL, 
	version INTEGER NOT NULL, 
	text TEXT NOT NULL, 
	author_id INTEGER, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_guidelines PRIMARY KEY (id), 
	CONSTRAINT fk_guidelines_author_id FOREIGN KEY(author_id) REFERENCES people (id), 
	CONSTRAINT fk_guidelines_project_id FOREIGN KEY(project_id) REFERENCES projects (id), 
	CONSTRAINT uq_guidelines_project_id_version UNIQUE (project_id, version)
);
INSERT INTO "guidelines" VALUES(1,1,1,'Read all.',1,1800000000000);
INSERT INTO "guidelines" VALUES(2,1,2,'Read all.

- Then judge 🙂.',1,1800000000001);
CREATE TABLE invitations (
	id INTEGER NOT NULL, 
	token_hash VARCHAR(200) NOT NULL, 
	role VARCHAR(200) NOT NULL, 
	languages JSON NOT NULL, 
	invited_by INTEGER, 
	created_at BIGINT NOT NULL, 
	expires_at BIGINT NOT NULL, 
	used_at BIGINT, 
	person_id INTEGER, 
	CONSTRAINT pk_invitations PRIMARY KEY (id), 
	CONSTRAINT fk_invitations_invited_by FOREIGN KEY(invited_by) REFERENCES people (id), 
	CONSTRAINT fk_invitations_person_id FOREIGN KEY(person_id) REFERENCES people (id), 
	CONSTRAINT uq_invitations_token_hash UNIQUE (token_hash)
);
INSERT INTO "invitations" VALUES(1,'a0c61b92e01585937108caf4c07ddf5543d852c5dfc6f23a04820d54d1eaf8c3','annotator','["en"]',1,1800000000000,1800604800000,1800000000000,4);
CREATE TABLE items (
	id INTEGER NOT NULL, 
	project_id INTEGER NOT NULL, 
	"key" VARCHAR(200) NOT NULL, 
	language VARCHAR(200) NOT NULL, 
	prompt JSON NOT NULL, 
	answers JSON NOT NULL, 
	gold JSON, 
	priority DOUBLE NOT NULL, 
	state VARCHAR(200) NOT NULL, 
	judged INTEGER NOT NULL, 
	parent_id INTEGER, 
	origin JSON NOT NULL, 
	author_id INTEGER, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_items PRIMARY KEY (id), 
	CONSTRAINT fk_items_author_id FOREIGN KEY(author_id) REFERENCES people (id), 
	CONSTRAINT fk_items_parent_id FOREIGN KEY(parent_id) REFERENCES items (id), 
	CONSTRAINT fk_items_project_id FOREIGN KEY(project_id) REFERENCES projects (id), 
	CONSTRAINT uq_items_project_id_key UNIQUE (project_id, "key")
);
INSERT INTO "items" VALUES(1,1,'opal','en','[{"role": "user", "content": "What is opal?"}]','[{"messages": [{"role": "assistant", "content": "opal!"}], "model": "m0"}, {"messages": [{"role": "assistant", "content": "opal is a ''gem'', \"they\" say."}], "model": "m1"}]',NULL,0.25,'done',2,NULL,'{"file": "gems.jsonl", "row": 1, "columns": {"source": {"page": 7}}}',NULL,1800000000000);
INSERT INTO "items" VALUES(2,1,'العقيق','ar','[{"role": "user", "content": "What is \u0627\u0644\u0639\u0642\u064a\u0642?"}]','[{"messages": [{"role": "assistant", "content": "\u0627\u0644\u0639\u0642\u064a\u0642!"}], "model": "m0"}, {"messages": [{"role": "assistant", "content": "\u0627\u0644\u0639\u0642\u064a\u0642 is a ''gem'', \"they\" say."}], "model": "m1"}]',NULL,0.25,'done',2,NULL,'{"file": "gems.jsonl", "row": 1, "columns": {"source": {"page": 7}}}',NULL,1800000000000);
INSERT INTO "items" VALUES(3,1,'欧泊','en','[{"role": "user", "content": "What is \u6b27\u6cca?"}]','[{"messages": [{"role": "assistant", "content": "\u6b27\u6cca!"}], "model": "m0"}, {"messages": [{"role": "assistant", "content": "\u6b27\u6cca is a ''gem'', \"they\" say."}], "model": "m1"}]',NULL,0.25,'open',1,NULL,'{"file": "gems.jsonl", "row": 1, "columns": {"source": {"page": 7}}}',NULL,1800000000000);
INSERT INTO "items" VALUES(4,1,'ruby','en','[{"role": "user", "content": "What is ruby?"}]','[{"messages": [{"role": "assistant", "content": "ruby!"}], "model": "m0"}, {"messages": [{"role": "assistant", "content": "ruby is a ''gem'', \"they\" say."}], "model": "m1"}]',NULL,0.25,'open',0,NULL,'{"file": "gems.jsonl", "row": 1, "columns": {"source": {"page": 7}}}',NULL,1800000000000);
INSERT INTO "items" VALUES(5,1,'topaz','en','[{"role": "user", "content": "What is topaz?"}]','[{"messages": [{"role": "assistant", "content": "topaz!"}], "model": "m0"}, {"messages": [{"role": "assistant", "content": "topaz is a ''gem'', \"they\" say."}], "model": "m1"}]',NULL,0.25,'open',0,NULL,'{"file": "gems.jsonl", "row": 1, "columns": {"source": {"page": 7}}}',NULL,1800000000000);
INSERT INTO "items" VALUES(6,1,'jade','en','[{"role": "user", "content": "What is jade?"}]','[{"messages": [{"role": "assistant", "content": "jade!"}], "model": "m0"}, {"messages": [{"role": "assistant", "content": "jade is a ''gem'', \"they\" say."}], "model": "m1"}]','{"better": 0}',0.25,'open',0,NULL,'{"file": "gems.jsonl", "row": 1, "columns": {"source": {"page": 7}}}',NULL,1800000000000);
INSERT INTO "items" VALUES(7,4,'created-1800000000000-2-7','en','[]','[]',NULL,0.0,'done',1,NULL,'{}',NULL,1800000000000);
INSERT INTO "items" VALUES(8,3,'write-8','en','[{"role": "user", "content": "What is onix?"}]','[]',NULL,0.0,'done',1,7,'{"project": "write", "judgement": 8}',2,1800000000003);
INSERT INTO "items" VALUES(9,2,'review-8','en','[{"role": "user", "content": "What is onyx?"}]','[]',NULL,0.0,'open',0,8,'{"project": "review", "item": 8}',NULL,1800000000003);
CREATE TABLE judgements (
	id INTEGER NOT NULL, 
	client_id VARCHAR(200) NOT NULL, 
	project_id INTEGER NOT NULL, 
	item_id INTEGER NOT NULL, 
	person_id INTEGER NOT NULL, 
	content JSON NOT NULL, 
	content_hash VARCHAR(200) NOT NULL, 
	shown_order JSON NOT NULL, 
	guideline_version INTEGER NOT NULL, 
	seconds DOUBLE NOT NULL, 
	counted BOOLEAN NOT NULL, 
	supersedes_id INTEGER, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_judgements PRIMARY KEY (id), 
	CONSTRAINT fk_judgements_item_id FOREIGN KEY(item_id) REFERENCES items (id), 
	CONSTRAINT fk_judgements_person_id FOREIGN KEY(person_id) REFERENCES people (id), 
	CONSTRAINT fk_judgements_project_id FOREIGN KEY(project_id) REFERENCES projects (id), 
	CONSTRAINT fk_judgements_supersedes_id FOREIGN KEY(supersedes_id) REFERENCES judgements (id), 
	CONSTRAINT uq_judgements_client_id UNIQUE (client_id), 
	CONSTRAINT uq_judgements_supersedes_id UNIQUE (supersedes_id)
);
INSERT INTO "judgements" VALUES(1,'pair-1-2-first',1,1,2,'{"comment": "\u00deetta er betra.", "better": 0, "strength": 3}','ef2492a928bb962ad98cc8019d42b8cc3ded7e17374ed94c2274c53ab1945e3f','[1, 0]',2,4.5,1,NULL,1800000000002);
INSERT INTO "judgements" VALUES(2,'pair-2-2-first',1,2,2,'{"comment": "\u00deetta er betra.", "better": 0, "strength": 3}','9d267aec290ca903a42b37d99e23d6dec0d278f56d63a40d391fa49556cd96cc','[1, 0]',2,4.5,1,NULL,1800000000002);
INSERT INTO "judgements" VALUES(3,'pair-3-2-first',1,3,2,'{"comment": "\u00deetta er betra.", "better": 0, "strength": 3}','49ec19ee366207f428772ec38264f074216a52f2d781bd6ce439e30d14af431c','[0, 1]',2,4.5,1,NULL,1800000000002);
INSERT INTO "judgements" VALUES(4,'pair-6-3-first',1,6,3,'{"comment": "\u00deetta er betra.", "better": 1, "strength": 3}','8568feba2e56073f8321609e21664338db7728b110075da43d052bdae7c506a2','[0, 1]',2,4.5,1,NULL,1800000000002);
INSERT INTO "judgements" VALUES(5,'pair-1-3-first',1,1,3,'{"comment": "\u00deetta er betra.", "better": 1, "strength": 3}','9889291d39c2961675a6473965dfd6e92756c618dc9a593129385de2f43c5ea8','[1, 0]',2,4.5,1,NULL,1800000000002);
INSERT INTO "judgements" VALUES(6,'pair-2-3-first',1,2,3,'{"comment": "\u00deetta er betra.", "better": 1, "strength": 3}','9d267aec290ca903a42b37d99e23d6dec0d278f56d63a40d391fa49556cd96cc','[0, 1]',2,4.5,1,NULL,1800000000002);
INSERT INTO "judgements" VALUES(7,'pair-6-3-again',1,6,3,'{"comment": "\u00deetta er betra.", "better": 0, "strength": 3}','985c867fce2aee36635d055469792aa483b800d1886c286aef6eda001b911e12','[0, 1]',2,4.5,1,4,1800000000002);
INSERT INTO "judgements" VALUES(8,'prompt-write',4,7,2,'{"text": "What is onix?"}','c9af1b2725bb1d4b8cab0de3289950caad7d6700f92121e97506c29a729a4519','[]',0,0.0,1,NULL,1800000000003);
INSERT INTO "judgements" VALUES(9,'prompt-review',3,8,3,'{"verdict": "edit", "text": "What is onyx?", "reasons": ["unclear"]}','446485dfa49ad51fee14bf81d75f14c089111bfd220ddbb6509d7b66e5307a19','[]',0,0.0,1,NULL,1800000000003);
CREATE TABLE leases (
	id INTEGER NOT NULL, 
	item_id INTEGER NOT NULL, 
	person_id INTEGER NOT NULL, 
	taken_at BIGINT NOT NULL, 
	expires_at BIGINT NOT NULL, 
	shown_order JSON NOT NULL, 
	state VARCHAR(200) NOT NULL, 
	CONSTRAINT pk_leases PRIMARY KEY (id), 
	CONSTRAINT fk_leases_item_id FOREIGN KEY(item_id) REFERENCES items (id), 
	CONSTRAINT fk_leases_person_id FOREIGN KEY(person_id) REFERENCES people (id), 
	CONSTRAINT uq_leases_item_id_person_id UNIQUE (item_id, person_id)
);
INSERT INTO "leases" VALUES(1,1,2,1800000000000,1800000060000,'[1, 0]','judged');
INSERT INTO "leases" VALUES(2,2,2,1800000000000,1800000060000,'[1, 0]','judged');
INSERT INTO "leases" VALUES(3,3,2,1800000000000,1800000060000,'[0, 1]','judged');
INSERT INTO "leases" VALUES(4,6,3,1800000000000,1800000060000,'[0, 1]','judged');
INSERT INTO "leases" VALUES(5,1,3,1800000000000,1800000060000,'[1, 0]','judged');
INSERT INTO "leases" VALUES(6,2,3,1800000000000,1800000060000,'[0, 1]','judged');
INSERT INTO "leases" VALUES(7,3,4,1800000000000,1800000060000,'[1, 0]','skipped');
INSERT INTO "leases" VALUES(8,7,2,1800000000000,1800000060000,'[]','judged');
INSERT INTO "leases" VALUES(9,8,3,1800000000000,1800000060000,'[]','judged');
CREATE TABLE login_failures (
	id INTEGER NOT NULL, 
	name_key VARCHAR(200) NOT NULL, 
	address VARCHAR(200) NOT NULL, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_login_failures PRIMARY KEY (id)
);
INSERT INTO "login_failures" VALUES(1,'ada','127.0.0.1',1800000000000);
CREATE TABLE people (
	id INTEGER NOT NULL, 
	name VARCHAR(200), 
	name_key VARCHAR(200), 
	pseudonym VARCHAR(200) NOT NULL, 
	role VARCHAR(200) NOT NULL, 
	languages JSON NOT NULL, 
	password_hash VARCHAR(200), 
	created_at BIGINT NOT NULL, 
	deleted_at BIGINT, 
	CONSTRAINT pk_people PRIMARY KEY (id), 
	CONSTRAINT uq_people_name_key UNIQUE (name_key), 
	CONSTRAINT uq_people_pseudonym UNIQUE (pseudonym)
);
INSERT INTO "people" VALUES(1,'Eva','eva','p-upgh5cpe','admin','["en", "ar"]','$argon2id$v=19$m=65536,t=3,p=4$1gj6lNeRSQJzkRlQpZ1XZg$KPooVIEK2894Arrne7RDG0vEQTC6h3omz/dZi5em0Bg',1800000000000,NULL);
INSERT INTO "people" VALUES(2,'Ada Þorn','ada þorn','p-887w4nfs','annotator','["en", "ar"]','$argon2id$v=19$m=65536,t=3,p=4$TJ7ceLnc9R4PcnFi1Ng5tQ$OYZIu2wgmmd2YdG/wInk+WlU1Isc+h9Jf5zYhkASH/g',1800000000000,NULL);
INSERT INTO "people" VALUES(3,'أمل','أمل','p-mhsq754v','reviewer','["en", "ar"]','$argon2id$v=19$m=65536,t=3,p=4$brXyJsvdJxj/BvPbOxzUkA$OkibqvbVV+l/p3HxsH3LXwGI1LwNmNVGQh5Nbi50IhQ',1800000000000,NULL);
INSERT INTO "people" VALUES(4,NULL,NULL,'p-2zvwd7m7','annotator','[]',NULL,1800000000000,1800000000000);
CREATE TABLE projects (
	id INTEGER NOT NULL, 
	slug VARCHAR(200) NOT NULL, 
	title VARCHAR(200) NOT NULL, 
	kind VARCHAR(200) NOT NULL, 
	languages JSON NOT NULL, 
	overlap INTEGER NOT NULL, 
	gold_rate DOUBLE NOT NULL, 
	lease_seconds INTEGER NOT NULL, 
	options JSON NOT NULL, 
	feeds_id INTEGER, 
	is_open BOOLEAN NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_projects PRIMARY KEY (id), 
	CONSTRAINT fk_projects_feeds_id FOREIGN KEY(feeds_id) REFERENCES projects (id), 
	CONSTRAINT uq_projects_slug UNIQUE (slug)
);
INSERT INTO "projects" VALUES(1,'gems','Gems','compare','["en", "ar"]',2,0.3,60,'{"scales": ["helpful", "honest", "harmless", "coherent"], "highest": 5, "ties": true, "strengths": 3, "labels": ["good", "wrong", "unclear", "harmful"], "reasons": ["unclear", "not a prompt", "wrong language", "harmful", "duplicate", "personal data"], "longest": 20000, "models": []}',NULL,1,0);
INSERT INTO "projects" VALUES(2,'answer','Answer','demonstrate','["en", "ar"]',1,0.0,60,'{"scales": ["helpful", "honest", "harmless", "coherent"], "highest": 5, "ties": true, "strengths": 3, "labels": ["good", "wrong", "unclear", "harmful"], "reasons": ["unclear", "not a prompt", "wrong language", "harmful", "duplicate", "personal data"], "longest": 20000, "models": []}',NULL,1,0);
INSERT INTO "projects" VALUES(3,'review','Review','evaluate','["en", "ar"]',1,0.0,60,'{"scales": ["helpful", "honest", "harmless", "coherent"], "highest": 5, "ties": true, "strengths": 3, "labels": ["good", "wrong", "unclear", "harmful"], "reasons": ["unclear", "not a prompt", "wrong language", "harmful", "duplicate", "personal data"], "longest": 20000, "models": []}',2,1,0);
INSERT INTO "projects" VALUES(4,'write','Write','create','["en", "ar"]',1,0.0,60,'{"scales": ["helpful", "honest", "harmless", "coherent"], "highest": 5, "ties": true, "strengths": 3, "labels": ["good", "wrong", "unclear", "harmful"], "reasons": ["unclear", "not a prompt", "wrong language", "harmful", "duplicate", "personal data"], "longest": 20000, "models": []}',3,1,0);
INSERT INTO "projects" VALUES(5,'ring','Ring','arena','["en", "ar"]',1,0.0,60,'{"scales": ["helpful", "honest", "harmless", "coherent"], "highest": 5, "ties": true, "strengths": 3, "labels": ["good", "wrong", "unclear", "harmful"], "reasons": ["unclear", "not a prompt", "wrong language", "harmful", "duplicate", "personal data"], "longest": 20000, "models": ["amber", "beryl"]}',NULL,1,0);
CREATE TABLE quotas (
	project_id INTEGER NOT NULL, 
	language VARCHAR(200) NOT NULL, 
	items INTEGER NOT NULL, 
	CONSTRAINT pk_quotas PRIMARY KEY (project_id, language), 
	CONSTRAINT fk_quotas_project_id FOREIGN KEY(project_id) REFERENCES projects (id)
);
INSERT INTO "quotas" VALUES(1,'en',9);
INSERT INTO "quotas" VALUES(1,'ar',3);
CREATE TABLE sessions (
	id INTEGER NOT NULL, 
	token_hash VARCHAR(200) NOT NULL, 
	person_id INTEGER NOT NULL, 
	created_at BIGINT NOT NULL, 
	expires_at BIGINT NOT NULL, 
	CONSTRAINT pk_sessions PRIMARY KEY (id), 
	CONSTRAINT fk_sessions_person_id FOREIGN KEY(person_id) REFERENCES people (id), 
	CONSTRAINT uq_sessions_token_hash UNIQUE (token_hash)
);
INSERT INTO "sessions" VALUES(1,'a5fd4f0be2c8e704926208f4e10e3896f7488b8e63d966a246ae1d133990ce8f',2,1800000000000,1801209600000);
CREATE TABLE skips (
	id INTEGER NOT NULL, 
	item_id INTEGER NOT NULL, 
	person_id INTEGER NOT NULL, 
	reason TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_skips PRIMARY KEY (id), 
	CONSTRAINT fk_skips_item_id FOREIGN KEY(item_id) REFERENCES items (id), 
	CONSTRAINT fk_skips_person_id FOREIGN KEY(person_id) REFERENCES people (id), 
	CONSTRAINT uq_skips_item_id_person_id UNIQUE (item_id, person_id)
);
INSERT INTO "skips" VALUES(1,3,4,'unclear',1800000000000);
CREATE INDEX ix_login_failures_address ON login_failures (address);
CREATE INDEX ix_login_failures_name_key ON login_failures (name_key);
CREATE INDEX ix_arena_conversations_person_id ON arena_conversations (person_id);
CREATE INDEX ix_arena_conversations_project_id ON arena_conversations (project_id);
CREATE INDEX ix_items_queue ON items (project_id, state, language, priority DESC, judged DESC, id);
CREATE INDEX ix_items_parent_id ON items (parent_id);
CREATE INDEX ix_sessions_person_id ON sessions (person_id);
CREATE INDEX ix_adjudications_item_id ON adjudications (item_id);
CREATE INDEX ix_flags_item_id ON flags (item_id);
CREATE INDEX ix_judgements_item_id ON judgements (item_id);
CREATE INDEX ix_judgements_person_id_project_id ON judgements (person_id, project_id);
CREATE INDEX ix_judgements_project_id ON judgements (project_id);
CREATE UNIQUE INDEX uq_judgements_first ON judgements (item_id, person_id) WHERE supersedes_id IS NULL;
CREATE INDEX ix_leases_person_id_state ON leases (person_id, state);
COMMIT;
