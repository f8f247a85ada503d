package model_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/model"
)

type User struct {
	ID      bson.ObjectID `bson:"_id"`
	Email   string        `bson:"email" pattern:"^[^@]+@[^@]+$"`
	Role    string        `bson:"role" enum:"admin,member"`
	Age     *int          `bson:"age,omitempty" min:"0"`
	Created time.Time     `bson:"createdAt"`
}

// Users is declared once, and says all there is to know about the collection.
var Users = model.Collection[User]{
	Name: "users",
	Indexes: []model.Index{
		{Keys: "email", Unique: true},
		{Keys: "role, -createdAt"},
	},
}

var _ rikki.Script = (*PromoteUser)(nil)

// PromoteUser is a script that uses the collection.
type PromoteUser struct {
	Email string `required:"true" help:"Whom to promote."`
}

func (s *PromoteUser) Execute(ctx context.Context, run *rikki.Run) (any, error) {
	users := Users.In(run.DB())
	user, err := users.FindOne(ctx, bson.D{{Key: "email", Value: s.Email}})
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, fmt.Errorf("there is no user %s", s.Email)
	}
	if err != nil {
		return nil, err
	}
	return nil, users.UpdateByID(ctx, user.ID, bson.D{{Key: "$set", Value: bson.D{{Key: "role", Value: "admin"}}}})
}

// A collection in a script.
func Example() {
	fmt.Println(Users.Name, len(Users.Indexes))
	// Output: users 2
}

// connected calls fn with the database that MONGODB_URI names.
func connected(fn func(ctx context.Context, db *mongo.Database) error) {
	err := conn.Default().With(context.Background(), func(ctx context.Context, ref *conn.Ref) error {
		return fn(ctx, ref.DB())
	})
	if err != nil {
		log.Fatal(err)
	}
}

// Indexes are compared with the declaration, created where they are missing, and never dropped unless asked.
func ExampleDocs_EnsureIndexes() {
	connected(func(ctx context.Context, db *mongo.Database) error {
		users := Users.In(db)
		changes, err := users.EnsureIndexes(ctx, nil)
		if err != nil {
			return err
		}
		for _, change := range changes {
			fmt.Println(change)
		}
		changes, err = users.DiffIndexes(ctx)
		fmt.Println("left:", len(changes))
		return err
	})
	// Output:
	// + email_1: {"email":1} unique
	// + role_1_createdAt_-1: {"role":1,"createdAt":-1}
	// left: 0
}

// The validator follows the struct; the server refuses what does not fit.
func ExampleDocs_EnsureValidator() {
	connected(func(ctx context.Context, db *mongo.Database) error {
		members := Users
		members.Name = "members"
		users := members.In(db)
		if _, err := users.EnsureValidator(ctx); err != nil {
			return err
		}
		err := users.Insert(ctx, &User{Email: "ann@example.com", Role: "chief"})
		var refused mongo.WriteException
		fmt.Println(errors.As(err, &refused))
		return users.Insert(ctx, &User{Email: "ann@example.com", Role: "admin"})
	})
	// Output: true
}

// Listing does not load the whole collection.
func ExampleDocs_All() {
	connected(func(ctx context.Context, db *mongo.Database) error {
		guests := Users
		guests.Name = "guests"
		users := guests.In(db)
		if err := users.InsertMany(ctx, []User{{Email: "ann@example.com"}, {Email: "bob@example.com"}}); err != nil {
			return err
		}
		for user, err := range users.All(ctx, bson.D{}) {
			if err != nil {
				return err
			}
			fmt.Println(user.Email)
		}
		return nil
	})
	// Output:
	// ann@example.com
	// bob@example.com
}

func ExampleCollection_Schema() {
	schema, err := model.Collection[struct {
		Name string `bson:"name" minLength:"1"`
		Team string `bson:"team,omitempty" enum:"red,blue"`
	}]{Name: "players"}.Schema()
	if err != nil {
		log.Fatal(err)
	}
	text, err := bson.MarshalExtJSONIndent(schema, false, false, "", "  ")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text))
	// Output:
	// {
	//   "$jsonSchema": {
	//     "bsonType": "object",
	//     "required": [
	//       "name"
	//     ],
	//     "properties": {
	//       "name": {
	//         "bsonType": "string",
	//         "minLength": 1
	//       },
	//       "team": {
	//         "bsonType": "string",
	//         "enum": [
	//           "red",
	//           "blue"
	//         ]
	//       }
	//     }
	//   }
	// }
}
