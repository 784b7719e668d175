// The comparison for likes: what one would write with Express and PostgreSQL. Two statements a like.
import express from "express";
import pg from "pg";

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 20 });
await pool.query("CREATE TABLE palettes (id BIGINT PRIMARY KEY, likes BIGINT NOT NULL DEFAULT 0)");
await pool.query(
  "CREATE TABLE likes (palette_id BIGINT NOT NULL, user_id BIGINT NOT NULL, PRIMARY KEY (palette_id, user_id))",
);
await pool.query("INSERT INTO palettes (id) SELECT generate_series(1, $1::bigint)", [process.env.PALETTES]);

const app = express();
app.use(express.json());
app.post("/like", async (request, response) => {
  const user = Number(request.headers.authorization.slice("Bearer ".length));
  const palette = request.body.palette_id;
  const inserted = await pool.query(
    "INSERT INTO likes (palette_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
    [palette, user],
  );
  const counted = await pool.query(
    "UPDATE palettes SET likes = likes + $2 WHERE id = $1 RETURNING likes",
    [palette, inserted.rowCount],
  );
  if (counted.rowCount === 0) return response.status(404).json({ error: "no such palette" });
  response.json({ palette_id: palette, likes: Number(counted.rows[0].likes), liked: true });
});
app.listen(Number(process.env.PORT), "127.0.0.1", () => console.log("ready"));
