"""Token files: documents as token ids that are mapped into memory, so that pretraining reads without loading.

layout.py     what the folder holds, and its manifest
writing.py    documents with their tokens -> one shard
files.py      a folder of shards as one stream: any stretch of it, and the document of any token
segments.py   the stream in segments of one length, as trees
"""
